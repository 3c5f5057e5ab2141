#!/bin/sh
# Makes venv/ (git ignores it) with PyTorch, transformers, peft and bitsandbytes. VENV=FOLDER puts it there and links to it.
# Needs: python3.11 or newer with venv and pip, a C++ compiler for torch.compile, 6 GB of disk: the wheel on PyPI does not
# load without the CUDA libraries that it is linked to, although everything here runs on the CPU.
set -eu
cd "$(dirname "$0")"
if [ -n "${VENV:-}" ] && [ ! -e venv ]; then
    [ -d "$VENV" ] || python3 -m venv "$VENV"
    ln -s "$VENV" venv
fi
[ -d venv ] || python3 -m venv venv
venv/bin/python -m pip install -q -r requirements.txt
venv/bin/python -c 'import torch, transformers, peft; print("ready: venv/bin/python, PyTorch", torch.__version__, "transformers", transformers.__version__, "peft", peft.__version__)'
