#!/bin/sh
# Runs a program and compares what it prints with a file, byte for byte.
# usage: example.sh EXPECTED COMMAND…
#        example.sh EXPECTED --without LIBRARY: says that it is left out
set -eu

expected=$1
shift
name=$(basename "$expected" .out)
if [ "$1" = --without ]; then
    echo "skip example_$name: pkg-config does not find $2"
    echo "0 passed, 0 failed, 1 skipped"
    exit 0
fi
output=$(mktemp)
trap 'rm -f "$output"' EXIT

status=0
"$@" >"$output" </dev/null || status=$?

if [ "$status" -eq 0 ] && cmp -s "$expected" "$output"; then
    echo "ok example_$name"
    echo "1 passed, 0 failed, 0 skipped"
    exit 0
fi
echo "FAIL example_$name: exit status $status; expected (-) and printed (+):"
diff -u "$expected" "$output" | sed 's/^/    /' || true
echo "0 passed, 1 failed, 0 skipped"
exit 1
