#!/bin/sh
# fire.sh DRL FACTS [MAX] : fire one rule file over one facts file, print the result line
[ $# -ge 2 ] || { echo "usage: fire.sh DRL FACTS [MAX]" >&2; exit 2; }
python3 -c 'import json,sys; print(json.dumps({"drl":sys.argv[1],"facts":sys.argv[2],"max":int(sys.argv[3])}))' "$1" "$2" "${3:-200}" \
    | "$(dirname "$0")/java.sh" fire
