#!/bin/sh
# record.sh DIR.. : (re)write NAME.expected.json for every NAME.drl + NAME.facts.json there, in one JVM
# CHECK=1 record.sh DIR.. : write nothing, compare with the recorded files instead (exit 1 on a difference)
[ $# -ge 1 ] || { echo "usage: [CHECK=1] record.sh DIR.." >&2; exit 2; }
if [ -n "${CHECK:-}" ]; then exec "$(dirname "$0")/java.sh" check "$@"; else exec "$(dirname "$0")/java.sh" record "$@"; fi
