#!/bin/sh
# Compares layouts of the stacks, and the two ways to leave the switch, with the library itself:
# run.sh [runs]
#
# The variants are made from copies of the sources, by exchanging a line or two. The runs are
# interleaved; the table holds the median of each, and in brackets the lowest and the highest.
set -eu

here=$(cd "$(dirname "$0")" && pwd)
root=$here/../..
runs=${1:-9}
build=$(mktemp -d)
trap 'rm -rf "$build"' EXIT

even='s/^        class->stride += page;/        class->stride += 0;/'
packed='s|^    class->usable = .*|    class->usable = size - page;|'
plain='s/^    COLOURS = 11,/    COLOURS = 1,/'

# variant NAME FILE SED: fails when the expression changes nothing
variant() {
    mkdir "$build/$1.d"
    cp -r "$root/src" "$root/include" "$root/bench" "$build/$1.d"
    if [ -n "$2" ]; then
        printf '%s\n' "$3" | sed -f - "$root/$2" >"$build/$1.d/$2"
        if cmp -s "$root/$2" "$build/$1.d/$2"; then
            echo "nothing to exchange in $2" >&2
            exit 1
        fi
    fi
    ${CC:-cc} -std=gnu11 -D_GNU_SOURCE -O2 -DNDEBUG -I "$build/$1.d/include" \
        "$build/$1.d/bench/core.c" "$build/$1.d/src/coir.c" \
        "$build/$1.d/src/ctx/x86_64_sysv.S" -o "$build/$1"
}

variant 64k src/core/stack.c "$even
$packed
$plain"
variant 64k_colours src/core/stack.c "$even
$packed"
variant even src/core/stack.c "$even
$plain"
variant odd src/core/stack.c "$plain"
variant coir '' ''
variant jump src/ctx/x86_64_sysv.S '/^    ret$/{
x
s/^/x/
/^x$/{
x
s/.*/    popq %rcx\
    jmp *%rcx/
b
}
x
}'

variants='64k 64k_colours even odd coir jump'
cases='yield_2 yield_1000 yield_deep yield_deep_10k park_wake park_deep park_deep_10k'
for _ in $(seq "$runs"); do
    for case in $cases; do
        for kind in $variants; do
            "$build/$kind" "$case" 1000000 | sed -n 's/^ns //p' >>"$build/$kind.$case"
        done
    done
done

printf '%-15s' ''
for kind in $variants; do
    printf '%-22s' "$kind"
done
echo
for case in $cases; do
    printf '%-15s' "$case"
    for kind in $variants; do
        sort -n "$build/$kind.$case" | awk '
            { v[NR] = $1 }
            END { printf "%6.1f [%5.1f ..%6.1f]", v[int((NR + 1) / 2)], v[1], v[NR] }'
    done
    echo
done
