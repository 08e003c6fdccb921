#!/bin/bash
# Builds and runs consumers of coir in every way that the README names: from an installed tree that
# was moved, from the Debian packages, and from the sources.
#
# usage: test/consumer/run.sh [WORK]      WORK: where to build, default build/consumer
set -euo pipefail
export LC_ALL=C

here=$(cd "$(dirname "$0")" && pwd)
source=$(cd "$here/../.." && pwd)
work=${1:-$source/build/consumer}
rm -rf "$work"
mkdir -p "$work"
work=$(cd "$work" && pwd)
version=$(sed -nE 's/^#define COIR_VERSION "(.*)"/\1/p' "$source/include/coir.h")
passed=0 failed=0 skipped=0

skip() {
    echo "skip $1: $2"
    skipped=$((skipped + 1))
}

# try NAME COMMAND…: one test; what it prints is shown when it fails
try() {
    local name=$1 status
    set +e
    (
        set -e
        "${@:2}"
    ) >"$work/output" 2>&1
    status=$?
    set -e
    if [ $status -eq 0 ]; then
        echo "ok $name"
        passed=$((passed + 1))
    else
        echo "FAIL $name"
        sed 's/^/    /' "$work/output"
        failed=$((failed + 1))
    fi
}

# works COMMAND…: it prints what a consumer prints
works() {
    "$@" >"$work/printed"
    diff -u "$here/consumer.out" "$work/printed"
}

# ---- Of the sources

# by_cmake WAY LANGUAGE PROGRAMS CMAKE_OPTION…: each program that the consumer's project makes works
by_cmake() {
    local build=$work/$1-$2 program count=0
    rm -rf "$build"
    cmake -S "$here" -B "$build" -G Ninja -DWAY="$1" -DLANGUAGE="$2" "${@:4}"
    cmake --build "$build"
    for program in "$build"/with_*; do
        works "$program"
        count=$((count + 1))
    done
    [ $count -eq "$3" ]
    DESTDIR=$build/installed cmake --install "$build"
    [ ! -e "$build/installed" ] # coir does not install itself with the program
}

# The line of the README, of a program elsewhere and with another name for the result.
by_one_command() {
    local line
    line=$(grep -m 1 '^    cc .*src/coir\.c' "$source/README.md")
    cd "$source"
    eval "${line/your.c/-o \"\$work/vendored\" \"\$here/consumer.c\"}"
    works "$work/vendored"
}

from_sources() {
    try "one command" by_one_command
    try "add_subdirectory, C" by_cmake add_subdirectory C 1 -DSOURCE="$source"
    try "FetchContent, C" by_cmake FetchContent C 1 -DSOURCE="$source"
    if command -v c++ >/dev/null; then
        try "add_subdirectory, C++" by_cmake add_subdirectory CXX 2 -DSOURCE="$source" \
            -DCOIR_SHARED=ON
    fi
}

# ---- Of an installed tree

# by_pkg_config LIBDIR [-static]: the shared library has to be what it says it is linked to; it is
# found in a folder of its own, but not in one that takes the place of the system's
by_pkg_config() {
    local program=$work/by-pkg-config$2
    export PKG_CONFIG_LIBDIR=$1/pkgconfig
    [ "$(pkg-config --modversion coir)" = "$version" ]
    # shellcheck disable=SC2046,SC2086 # words
    cc $2 "$here/consumer.c" -o "$program" $(pkg-config ${2:+-$2} --cflags --libs coir)
    if [ "$1" = "$work/moved/lib/odd" ]; then
        works env -u LD_LIBRARY_PATH "$program"
    else
        works env LD_LIBRARY_PATH="$1" "$program"
    fi
    readelf -d "$program" >"$program.dynamic"
    [ -n "$2" ] || grep -q 'NEEDED.*\[libcoir\.so\.[0-9.]*\]' "$program.dynamic"
}

# from_tree NAME PREFIX LIBDIR CMAKE_OPTION: the option is how find_package finds it
from_tree() {
    local name=$1 prefix=$2 libdir=$2/$3
    try "$name: pkg-config, shared" by_pkg_config "$libdir" ""
    try "$name: pkg-config, static" by_pkg_config "$libdir" -static
    try "$name: find_package, C" by_cmake find_package C 2 \
        -DINSTALLED="$prefix" -DVERSION="$version" "$4"
    if command -v c++ >/dev/null; then
        try "$name: find_package, C++" by_cmake find_package CXX 2 \
            -DINSTALLED="$prefix" -DVERSION="$version" "$4"
    fi
    try "$name: exports" "$source/test/exports.sh" "$libdir/libcoir.so"
    try "$name: a page for each function" pages "$prefix"
    try "$name: names no folder of the build" no_path_of_the_build "$prefix"
}

pages() {
    local function
    for function in $(sed -nE 's/^COIR_API .*[ *](coir_[a-z_]+)\(.*/\1/p' "$source"/include/*.h); do
        [ -n "$(find "$1" -path "*/man3/$function.3*")" ]
    done
}

no_path_of_the_build() {
    ! grep -rlI -e "$work" -e "$source" "$1"
}

# Installed below DESTDIR in folders of its own, and then moved.
install_and_move() {
    cmake -S "$source" -B "$work/build" -G Ninja -DCOIR_SHARED=ON -DCOIR_TESTS=OFF \
        -DCOIR_EXAMPLES=OFF -DCOIR_BENCH=OFF \
        -DCMAKE_INSTALL_LIBDIR=lib/odd -DCMAKE_INSTALL_INCLUDEDIR=include/odd
    cmake --build "$work/build"
    DESTDIR=$work/destdir cmake --install "$work/build" --prefix /opt/coir
    mv "$work/destdir/opt/coir" "$work/moved"
    [ -z "$(find "$work/destdir" -type f)" ]
}

# ---- Of the Debian packages

make_packages() {
    cmake --preset deb -S "$source" -B "$work/deb"
    cmake --build "$work/deb" --target package
}

# package_fields DEV RUNTIME
package_fields() {
    local runtime
    runtime=$(dpkg-deb -f "$2" Package)
    [ "$(dpkg-deb -f "$1" Package)" = libcoir-dev ]
    [ "$(dpkg-deb -f "$1" Version)" = "$version" ]
    [ "$(dpkg-deb -f "$1" Depends)" = "$runtime (= $version)" ]
    dpkg-deb -f "$2" Depends | grep -q '^libc6 (>= '
    dpkg-deb -I "$2" shlibs | grep -q "^libcoir ${runtime#libcoir} $runtime (>= $version)$"
}

# Into a root of its own: the system's list of packages and its ldconfig stay out of it.
private_dpkg() {
    local root=$work/root
    mkdir -p "$root/var/lib/dpkg" "$work/bin"
    touch "$root/var/lib/dpkg/status"
    ln -sf /bin/true "$work/bin/ldconfig"
    PATH=$work/bin:$PATH dpkg --root="$root" --log="$work/dpkg.log" \
        --force-script-chrootless --force-depends "$@"
}

packages_go() {
    local runtime
    runtime=$(dpkg-deb -f "$1" Package)
    private_dpkg --purge libcoir-dev "$runtime"
    [ -z "$(find "$work/root" -name '*coir*')" ]
}

from_packages() {
    local dev runtime triplet
    try "deb: made" make_packages
    dev=$(echo "$work"/deb/libcoir-dev_*.deb)
    runtime=$(echo "$work"/deb/libcoir[0-9]*.deb)
    [ -e "$dev" ] || return 0
    triplet=$(dpkg-architecture -qDEB_HOST_MULTIARCH)
    try "deb: names and dependencies" package_fields "$dev" "$runtime"
    if [ "$(id -u)" -eq 0 ]; then
        try "deb: dpkg installs" private_dpkg -i "$runtime" "$dev"
    else
        skip "deb: dpkg installs" "only root can"
        dpkg-deb -x "$dev" "$work/root"
        dpkg-deb -x "$runtime" "$work/root"
    fi
    from_tree deb "$work/root/usr" "lib/$triplet" -DCMAKE_PREFIX_PATH="$work/root/usr"
    if [ "$(id -u)" -eq 0 ]; then
        try "deb: dpkg purges" packages_go "$runtime"
    fi
}

from_sources
if ! command -v pkg-config >/dev/null; then
    skip "installed tree" "pkg-config is not installed"
else
    try "install, with DESTDIR and a libdir" install_and_move
    from_tree installed "$work/moved" lib/odd -Dcoir_DIR="$work/moved/lib/odd/cmake/coir"
    if command -v dpkg-shlibdeps >/dev/null && command -v file >/dev/null; then
        from_packages
    else
        skip deb "dpkg-shlibdeps (dpkg-dev) and file are not both installed"
    fi
fi
command -v c++ >/dev/null || skip "C++" "c++ is not installed"

echo "$passed passed, $failed failed, $skipped skipped"
[ $failed -eq 0 ]
