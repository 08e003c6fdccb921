#!/bin/bash
# The documents are whole: the API page has every declaration, the man page names every function and
# its example runs, the tour passes every file, doc/from-*.md name what the headers have, each piece
# of code in README and headers runs, and so does each program of doc/from-go.md.
set -euo pipefail
cd "$(dirname "$0")/.."

passed=0 failed=0 skipped=0
output=build/doc
mkdir -p "$output"

ok() {
    echo "ok $*"
    passed=$((passed + 1))
}

# fail NAME: with the details on standard input
fail() {
    echo "FAIL $1:"
    sed 's/^/    /'
    failed=$((failed + 1))
}

skip() {
    echo "skip $1: $2"
    skipped=$((skipped + 1))
}

# verdict NAME FINDINGS
verdict() {
    if [ -z "$2" ]; then
        ok "$1"
    else
        fail "$1" <<<"$2"
    fi
}

# not_in FILE: the words on standard input that FILE does not have
not_in() {
    local word
    while read -r word; do
        grep -qF -- "$word" "$1" || echo "$1 does not mention $word"
    done
}

functions() {
    sed -nE 's/^COIR_API .*[ *](coir_[a-z_]+)\(.*/\1/p' include/*.h
}

# names FILE...: each of coir's names in them, once
names() {
    grep -ohE '\bcoir_[a-z0-9_]+' "$@" | sort -u
}

sources() {
    sed -n 's/^#include "\(.*\.c\)"/\1/p' src/coir.c
}

# The program in the man page, as its reader would type it.
run_example() {
    local program=$output/man_example
    awk '/^\.Bd -literal/ { on = 1; next } /^\.Ed/ { on = 0 } on' doc/coir.3 >"$program.c"
    cc -Wall -Werror -Iinclude -o "$program" "$program.c" src/coir.c "src/ctx/$(uname -m)"*.S
    [ "$("$program")" = COIR_TIMED_OUT ] || echo "the example does not print COIR_TIMED_OUT"
}

if command -v doxygen >/dev/null; then
    verdict "every declaration is documented" "$(doxygen doc/Doxyfile 2>&1)"
else
    skip "every declaration is documented" "doxygen is not installed"
fi
if command -v mandoc >/dev/null; then
    verdict "coir(3) has no fault" "$(mandoc -T lint -W warning doc/coir.3 2>&1 || true)"
else
    skip "coir(3) has no fault" "mandoc is not installed"
fi
verdict "the example of coir(3) runs" "$(run_example 2>&1)"
verdict "coir(3) names every function" "$(functions | not_in doc/coir.3)"
verdict "the tour passes every file" "$(sources | not_in doc/tour.md)"
verdict "doc/from-*.md name what the headers have" \
    "$(comm -23 <(names doc/from-*.md) <(names include/*.h))"
status=0
test/snippets.py "$output/snippets" || status=1
echo "$passed passed, $failed failed, $skipped skipped"
[ "$failed" -eq 0 ] && [ "$status" -eq 0 ]
