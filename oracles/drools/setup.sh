#!/bin/sh
# Fetches Drools 8.31.1.Final (it ships inside the optapy wheel on PyPI), unpacks the jars into build/ and compiles Oracle.java.
# Needs: java + javac 17, python3 with pip, unzip. A wheel already downloaded can be given: WHEEL=path ./setup.sh
set -eu
cd "$(dirname "$0")"
mkdir -p build/jars build/classes
if [ -z "${WHEEL:-}" ]; then
    WHEEL=build/optapy-8.31.1b0-py3-none-any.whl
    [ -f "$WHEEL" ] || python3 -m pip download --no-deps --only-binary :all: -d build optapy==8.31.1b0
fi
for pat in 'drools-*' 'kie-*' 'antlr-*' 'javaparser-*' 'slf4j-api*' 'jax*' 'jakarta*' 'istack*' 'txw2*' 'commons-*' 'asm-9*' 'micrometer*' 'HdrH*' 'Latency*'; do
    unzip -q -o -j "$WHEEL" "optapy/jars/$pat" -d build/jars
done
javac -nowarn -encoding UTF-8 -cp 'build/jars/*' -d build/classes Oracle.java
echo "ready: build/classes/Oracle.class"
