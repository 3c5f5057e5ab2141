#!/bin/sh
# java.sh MODE ARGS.. : the oracle process itself (modes: fire, run DRL, record DIR..)
here="$(cd "$(dirname "$0")" && pwd)"
exec java -XX:+UseSerialGC -Xmx"${ORACLE_HEAP:-3g}" -Dfile.encoding=UTF-8 -Dorg.slf4j.simpleLogger.defaultLogLevel=off \
    -cp "$here/build/classes:$here/build/jars/*" Oracle "$@" 2>"${ORACLE_STDERR:-/dev/null}"
