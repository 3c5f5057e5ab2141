#!/bin/sh
# Makes venv/ (git ignores it) with PyTorch, transformers, llguidance and llama.cpp. VENV=FOLDER puts it there and links to it.
# Needs: python3.11 or newer with venv and pip, a C++ compiler, 6 GB of disk. llama-cpp-python has no wheel on PyPI: it is
# compiled for this processor, which takes 8 minutes on two cores; cmake and ninja come from PyPI. Its server and multimodal
# parts are left out.
set -eu
cd "$(dirname "$0")"
if [ -n "${VENV:-}" ] && [ ! -e venv ]; then
    [ -d "$VENV" ] || python3 -m venv "$VENV"
    ln -s "$VENV" venv
fi
[ -d venv ] || python3 -m venv venv
export CMAKE_ARGS="-DGGML_NATIVE=ON -DGGML_LLAMAFILE=ON -DLLAVA_BUILD=OFF -DLLAMA_BUILD_TOOLS=OFF -DLLAMA_BUILD_SERVER=OFF -DLLAMA_CURL=OFF"
venv/bin/python -m pip install -q -r requirements.txt
venv/bin/python -c 'import llama_cpp, torch, transformers; print("ready: venv/bin/python, PyTorch", torch.__version__, "transformers", transformers.__version__, "llama-cpp-python", llama_cpp.__version__)'
