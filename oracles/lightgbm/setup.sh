#!/bin/sh
# Makes venv/ (git ignores it) with LightGBM 4.7.0 and what the scripts here import. Needs: python3.11 or newer with venv and pip.
set -eu
cd "$(dirname "$0")"
[ -d venv ] || python3 -m venv venv
venv/bin/python -m pip install -q -r requirements.txt
venv/bin/python -c 'import lightgbm; print("ready: venv/bin/python, LightGBM", lightgbm.__version__)'
