#!/bin/sh
# Makes venv/ (git ignores it) with the validator. VENV=FOLDER puts it there and links to it.
# Needs: python3.10 or newer with venv and pip.
set -eu
cd "$(dirname "$0")"
if [ -n "${VENV:-}" ] && [ ! -e venv ]; then
    [ -d "$VENV" ] || python3 -m venv "$VENV"
    ln -s "$VENV" venv
fi
[ -d venv ] || python3 -m venv venv
venv/bin/python -m pip install -q -r requirements.txt
venv/bin/python -c 'from importlib.metadata import version; print("ready: venv/bin/python, jsonschema", version("jsonschema"))'
