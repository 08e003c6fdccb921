#!/bin/sh
# A shared library exports the calls that the headers declare, each with the version of the ABI that
# its soname has, and nothing else.
# usage: exports.sh LIBRARY
set -eu

headers=$(dirname "$0")/../include
abi=$(readelf -d "$1" | sed -nE 's/.*soname: \[libcoir\.so\.(.*)\]/\1/p')
declared=$(sed -nE "s/^COIR_API .*[ *](coir_[a-z_]+)\(.*/\1@@COIR_$abi/p" "$headers"/*.h | sort)
exported=$(nm -D --defined-only --with-symbol-versions "$1" | awk '$2 != "A" { print $3 }' | sort)

if [ -n "$declared" ] && [ "$declared" = "$exported" ]; then
    echo "ok exports: what the headers declare and nothing else"
    echo "1 passed, 0 failed, 0 skipped"
    exit 0
fi
echo "FAIL exports: only one of the headers and $1 has"
printf '    %s\n' $declared $exported | sort | uniq -u
echo "0 passed, 1 failed, 0 skipped"
exit 1
