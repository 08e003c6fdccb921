#!/bin/bash
# LTO inlines coir into programs, in every way that the README names, and the objects that the build
# with LTO makes still link to programs without it.
#
# usage: test/lto.sh BUILD      BUILD: the build tree of the preset lto
set -euo pipefail
cd "$(dirname "$0")/.."
export LC_ALL=C

build=$1
work=build/lto-test
consumer=test/consumer
passed=0 failed=0 skipped=0
rm -rf "$work"
mkdir -p "$work"

skip() {
    echo "skip $1: $2"
    skipped=$((skipped + 1))
}

# try NAME COMMAND…: one test; what it prints is shown when it fails
try() {
    local status
    set +e
    (
        set -e
        "${@:2}"
    ) >"$work/output" 2>&1
    status=$?
    set -e
    if [ $status -eq 0 ]; then
        echo "ok $1"
        passed=$((passed + 1))
    else
        echo "FAIL $1"
        sed 's/^/    /' "$work/output"
        failed=$((failed + 1))
    fi
}

works() {
    "$1" | diff -u "$consumer/consumer.out" -
}

# A linker with LTO makes the functions local that no other object needs.
is_inlined() {
    works "$1"
    if nm "$1" | grep ' T coir_'; then
        return 1
    fi
}

is_not_inlined() {
    works "$1"
    nm "$1" | grep ' T coir_run$'
}

# The README's line, for a program elsewhere and with another name for the result.
by_one_command() {
    local line
    line=$(grep -m 1 '^    cc .*-flto.*src/coir\.c' README.md)
    eval "${line/your.c/-o \"\$work/vendored\" \"\$consumer/consumer.c\"}"
    is_inlined "$work/vendored"
}

# by_archive OPTION…: a program that is linked to the library of the build
by_archive() {
    cc "$@" -O2 -Iinclude "$consumer/consumer.c" "$build/libcoir.a" -pthread -ldl \
        -o "$work/linked"
}

with_lto() {
    by_archive -flto
    is_inlined "$work/linked"
}

without_lto() {
    by_archive
    is_not_inlined "$work/linked"
}

# by_cmake NAME LANGUAGE COMPILER: a project that has coir by add_subdirectory
by_cmake() {
    cmake -S "$consumer" -B "$work/$1" -G Ninja -DWAY=add_subdirectory -DSOURCE="$PWD" \
        -DLANGUAGE="$2" -DCMAKE_C_COMPILER="$3" -DCOIR_LTO=ON
    cmake --build "$work/$1"
    is_inlined "$work/$1/with_coir"
}

# What is installed asks for no LTO: the program's compiler may be another one.
installed() {
    cmake --install "$build" --prefix "$work/installed"
    if grep -r -e -flto -e fuse-ld "$work/installed" --include '*.cmake' --include '*.pc'; then
        return 1
    fi
    cmake -S "$consumer" -B "$work/find_package" -G Ninja -DWAY=find_package -DLANGUAGE=C \
        -DINSTALLED="$PWD/$work/installed" -DVERSION="$version" \
        -DCMAKE_PREFIX_PATH="$PWD/$work/installed"
    cmake --build "$work/find_package"
    is_not_inlined "$work/find_package/with_coir"
}

version=$(sed -nE 's/^#define COIR_VERSION "(.*)"/\1/p' include/coir.h)
try "one command" by_one_command
try "the library, by a program with LTO" with_lto
try "the library, by a program without LTO" without_lto
try "add_subdirectory, C" by_cmake gcc C cc
if command -v c++ >/dev/null; then
    try "add_subdirectory, C++" by_cmake g++ CXX cc
else
    skip "add_subdirectory, C++" "c++ is not installed"
fi
if command -v clang >/dev/null && command -v ld.lld >/dev/null; then
    try "add_subdirectory, clang" by_cmake clang C clang
else
    skip "add_subdirectory, clang" "clang and lld are not both installed"
fi
try "installed" installed
echo "$passed passed, $failed failed, $skipped skipped"
[ $failed -eq 0 ]
