#!/bin/sh
# Installs the official client into a virtual environment beside this file.
set -eu
cd "$(dirname "$0")"
python3 -m venv venv
venv/bin/pip install --quiet --disable-pip-version-check -r requirements.txt
venv/bin/python -c 'import openai; print("openai", openai.__version__)'
