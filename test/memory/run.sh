#!/bin/bash
# The memory orders of posts: src/run/post.c under GenMC, by C11's rules, and its patterns as
# AArch64 code under herd7, by Arm's. Each proof is followed by weaker variants, which must be found
# out. Neither tool is in Debian: what is not installed is skipped.
#
# usage: test/memory/run.sh
set -euo pipefail
cd "$(dirname "$0")/../.."

folder=$(mktemp -d)
trap 'rm -r "$folder"' EXIT
passed=0 failed=0 skipped=0

# expect NAME GOT WANTED
expect() {
    if [ "$2" = "$3" ]; then
        echo "ok $1: $2"
        passed=$((passed + 1))
    else
        echo "FAIL $1: $2 instead of $3"
        failed=$((failed + 1))
    fi
}

# ---- GenMC

scenarios=(two_posters posted_again closed_beside_a_post opened_again)

# genmc_setup: the compiler of the LLVM that GenMC was built with, and GenMC's headers
genmc_setup() {
    local llvm home
    llvm=$(genmc --version | sed -nE 's/.*LLVM ([0-9]+).*/\1/p')
    compiler=clang-$llvm optimizer=opt-$llvm
    home=$(dirname "$(readlink -f "$(command -v genmc)")")
    for headers in "$home/include" "$home/../include/genmc"; do
        [ ! -e "$headers/genmc.h" ] || return 0
    done
    echo "there is no genmc.h beside $home" >&2
    return 1
}

# model SCENARIO: what GenMC finds in $folder/post.c. It wants each word read as it was written, so
# the members of arguments, which come two to a register, are made variables first.
model() {
    $compiler -std=gnu11 -w -O0 -Xclang -disable-O0-optnone -D__CONFIG_GENMC_INODE_DATA_SIZE=64 \
        -I"$headers" -I"$folder" -Isrc/run -DSCENARIO="$1" -emit-llvm -c -o "$folder/whole.bc" \
        test/memory/mailbox.c
    $optimizer -passes=sroa -o "$folder/parts.bc" "$folder/whole.bc"
    if timeout 300 genmc --disable-estimation --input-from-bitcode-file "$folder/parts.bc" \
        >"$folder/log" 2>&1; then
        echo right
    elif grep -qE 'Assertion violation|Non-atomic race' "$folder/log"; then
        echo wrong
    else
        echo "no answer: $(grep -m 1 Error "$folder/log" || tail -n 1 "$folder/log")"
    fi
}

# mutant SCENARIO NAME SED: post.c with a change, in which that scenario finds a fault
mutant() {
    sed -E "$3" "$folder/right.c" >"$folder/post.c"
    if cmp -s "$folder/right.c" "$folder/post.c"; then
        expect "$1 ($2)" "changes nothing" "another program"
    else
        expect "$1 ($2)" "$(model "$1")" wrong
    fi
}

if command -v genmc >/dev/null; then
    genmc_setup
    sed 's/BOXES = 64 \* 1024/BOXES = 2/' src/run/post.c >"$folder/right.c" # for its time
    cp "$folder/right.c" "$folder/post.c"
    for scenario in "${scenarios[@]}"; do
        expect "$scenario" "$(model "$scenario")" right
    done
    mutant two_posters "dozes over a letter" \
        's/atomic_compare_exchange_strong\((.*), &head, (DOZING)\)/(atomic_exchange(\1, \2), 1)/'
    mutant two_posters "never rings" 's/^ +cr_bell_ring\(.*/;/'
    mutant two_posters "pushes without release" '/&head, letter\)/ {
        s/atomic_compare_exchange_weak/&_explicit/
        s/letter\)/letter, memory_order_relaxed, memory_order_relaxed)/
    }'
    mutant two_posters "takes without acquire" '/atomic_exchange\(&box->head, NULL\)/ {
        s/atomic_exchange/&_explicit/
        s/NULL\)/NULL, memory_order_relaxed)/
    }'
    mutant posted_again "marks without order" 's/__ATOMIC_ACQ_REL/__ATOMIC_RELAXED/'
    mutant closed_beside_a_post "does not wait for users" 's/> 1\)$/> 1000)/'
    mutant closed_beside_a_post "does not count itself" \
        's/&state, state \+ 1\)/\&state, state)/'
    mutant opened_again "looks at no generation" 's/post_generation\(state\) != generation/false/'
else
    echo "skip mailbox: genmc is not installed"
    skipped=$((skipped + 1))
fi

# ---- herd7

# observation FILE: Never, Sometimes or Always
observation() {
    herd7 "$1" 2>&1 | awk '/^Observation/ { print $3 }'
}

if command -v herd7 >/dev/null; then
    for file in test/memory/*.litmus; do
        name=$(basename "$file" .litmus)
        expect "$name" "$(observation "$file")" Never
        sed -E 's/LDA(X?R)/LD\1/g; s/STL(X?R)/ST\1/g' "$file" >"$folder/$name.litmus"
        expect "$name (without orders)" "$(observation "$folder/$name.litmus")" Sometimes
    done
else
    echo "skip litmus: herd7 is not installed"
    skipped=$((skipped + 1))
fi

echo "$passed passed, $failed failed, $skipped skipped"
[ $failed -eq 0 ]
