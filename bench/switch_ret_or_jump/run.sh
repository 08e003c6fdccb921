#!/bin/sh
# Compares a resume by `ret` with one by a jump on the x86-64 port: run.sh [runs]
#
# The jump is made from the port itself, by exchanging one instruction. The runs are interleaved;
# the table holds the median, and in brackets the lowest and the highest, of each.
set -eu

here=$(cd "$(dirname "$0")" && pwd)
port=$here/../../src/ctx/x86_64_sysv.S
runs=${1:-9}
build=$(mktemp -d)
trap 'rm -rf "$build"' EXIT

cp "$port" "$build/ret.S"
awk '$1 == "ret" && !done { print "    popq %rcx\n    jmp *%rcx"; done = 1; next }
    { print }' "$port" >"$build/jump.S"
if cmp -s "$build/ret.S" "$build/jump.S"; then
    echo "the port has no ret to exchange" >&2
    exit 1
fi
for kind in ret jump; do
    ${CC:-cc} -std=c11 -D_GNU_SOURCE -O2 -I "$here/../../src/ctx" "$here/bench.c" \
        "$build/$kind.S" -o "$build/$kind"
done
for _ in $(seq "$runs"); do
    for kind in ret jump; do
        "$build/$kind" >>"$build/$kind.txt"
    done
done

printf '%-14s %-22s %s\n' '' 'ret' 'jump'
column=1
for case in flat flat2 deep share2 share1 share0; do
    for fibers in 2 1000; do
        printf '%-14s' "$case, $fibers"
        for kind in ret jump; do
            cut -d ' ' -f $column "$build/$kind.txt" | sort -n | awk '
                { v[NR] = $1 }
                END { printf " %5.1f [%5.1f ..%5.1f] ", v[int((NR + 1) / 2)], v[1], v[NR] }'
        done
        echo
        column=$((column + 1))
    done
done
