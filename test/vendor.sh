#!/bin/bash
# Whoever vendors coir compiles two files with one command; it needs no macro and no flag. Without
# optimization frames are large, and a scope that a return has left open is found all the same.
set -euo pipefail
cd "$(dirname "$0")/.."

mkdir -p build/vendor
cc -O2 -Iinclude -o build/vendor/example example/01_*.c src/coir.c src/ctx/*.S
test/example.sh example/01_*.out build/vendor/example

cat >build/vendor/left.c <<'END'
#include <coir.h>

static int leaves(void)
{
    coir_scope scope;
    coir_scope_open(&scope, COIR_NEVER, 0);
    return 0;
}

static int spawns(void *arg)
{
    return leaves() ? 1 : coir_spawn(NULL, spawns, arg, NULL);
}

int main(void)
{
    return coir_run(spawns, NULL, NULL, NULL);
}
END
passed=1 failed=0 skipped=0
for compiler in gcc clang; do
    name="test_regress_scope_left_by_a_return_is_not_found_at_O0 ($compiler)"
    if ! command -v $compiler >/dev/null; then
        echo "skip $name: $compiler is not installed"
        skipped=$((skipped + 1))
        continue
    fi
    $compiler -O0 -g -Iinclude -o build/vendor/left build/vendor/left.c src/coir.c src/ctx/*.S \
        -lpthread
    if (build/vendor/left 2>&1 || true) 2>/dev/null | grep -q "without ending its scope"; then
        echo "ok $name"
        passed=$((passed + 1))
    else
        echo "FAIL $name"
        failed=$((failed + 1))
    fi
done
echo "$passed passed, $failed failed, $skipped skipped"
[ $failed -eq 0 ]
