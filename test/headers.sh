#!/bin/sh
# Every public header compiles alone as C99 and as C++11, with each compiler that is installed.
set -eu

root=$(cd "$(dirname "$0")/.." && pwd)
passed=0 failed=0 skipped=0

# try COMPILER LANGUAGE STANDARD HEADER
try() {
    name="header_$(basename "$4" .h)_as_$3_by_$1"
    if ! command -v "$1" >/dev/null; then
        echo "skip $name: $1 is not installed"
        skipped=$((skipped + 1))
    elif echo "#include \"$4\"" | "$1" -x "$2" "-std=$3" -pedantic-errors -Wall -Wextra -Werror \
            -fsyntax-only -I "$root/include" -; then
        echo "ok $name"
        passed=$((passed + 1))
    else
        echo "FAIL $name"
        failed=$((failed + 1))
    fi
}

for path in "$root"/include/*.h; do
    header=$(basename "$path")
    try gcc c c99 "$header"
    try clang c c99 "$header"
    try g++ c++ c++11 "$header"
    try clang++ c++ c++11 "$header"
done

echo "$passed passed, $failed failed, $skipped skipped"
test "$failed" -eq 0
