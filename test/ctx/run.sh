#!/bin/sh
# Builds and runs all tests of the context switch: run.sh [--all] [build-directory]
#
# Where the compiler adds branch protection, only the mutants that concern it are tried, since the
# others are in the build without it; --all tries all of them everywhere.
#
# CC names the native compiler (cc); AARCH64_CC and AARCH64_EMULATOR the second target, which is
# skipped, with a line that says so, where they are missing. Every test prints one line that starts
# with ok, FAIL or skip; the last line counts them. The exit status is 1 after any failure.
# shellcheck disable=SC2086,SC3043  # commands carry flags; every sh in use has local
set -u

here=$(cd "$(dirname "$0")" && pwd)
ports=$here/../../src/ctx
CC=${CC:-cc}
AARCH64_CC=${AARCH64_CC:-aarch64-linux-gnu-gcc}
AARCH64_EMULATOR=${AARCH64_EMULATOR:-qemu-aarch64 -cpu max}
warnings="-std=c11 -D_GNU_SOURCE -O2 -g -Wall -Wextra -Wpedantic -Wshadow -Werror"

new=--new
if [ "${1:-}" = --all ]; then
    new=
    shift
fi
if [ $# -gt 0 ]; then
    mkdir -p "$1" && build=$(cd "$1" && pwd) || exit 2
else
    build=$(mktemp -d) || exit 2
    trap 'rm -rf "$build"' EXIT
fi
log=$build/run.log
: >"$log"

say() { echo "$*" | tee -a "$log"; }

# step NAME COMMAND...: runs it and puts NAME before its lines. A command that fails without a
# FAIL line, or that reports nothing at all, is a failure.
step() {
    local name="$1"
    shift
    local status=0
    "$@" >"$build/step.out" 2>&1 || status=$?
    sed -E -e "s/^(ok|FAIL|skip) /\1 $name: /" -e '/passed, .* skipped$/d' "$build/step.out" |
        tee -a "$log"
    if [ $status -ne 0 ] && ! grep -q '^FAIL ' "$build/step.out"; then
        say "FAIL $name: exit status $status"
    elif [ $status -eq 0 ] && ! grep -Eq '^(ok|FAIL|skip) ' "$build/step.out"; then
        say "FAIL $name: reported nothing"
    fi
}

# check NAME COMMAND...: one test that is a command.
check() {
    local name="$1"
    shift
    if "$@" >"$build/step.out" 2>&1; then
        say "ok $name"
    else
        say "FAIL $name: $(tail -n 1 "$build/step.out")"
    fi
}

have() { command -v "${1%% *}" >/dev/null 2>&1; }

tool() { $1 -print-prog-name="$2"; }

defines_two_hidden_symbols() {
    local table globals
    table=$($(tool "$1" readelf) -sW "$2") || return 1
    globals=$(echo "$table" | awk '$7 != "UND" && ($5 == "GLOBAL" || $5 == "WEAK")' |
        awk '{ print $6, $8 }' | sort | tr '\n' ' ')
    echo "defines: $globals"
    [ "$globals" = "HIDDEN cr_ctx_make HIDDEN cr_ctx_switch " ]
}

asks_for_no_executable_stack() {
    local sections
    sections=$($(tool "$1" readelf) -SW "$2" | grep 'note.GNU-stack')
    echo "section: ${sections:-none}"
    [ -n "$sections" ] && ! echo "$sections" | grep -Eq ' A?X '
}

# The properties an object promises must be exactly these.
promises() {
    local notes
    notes=$($(tool "$1" readelf) -nW "$2" 2>&1 |
        sed -n '/found in: .note.gnu.property$/,/^$/s/.*Properties: //p')
    echo "promises: ${notes:-nothing}"
    [ "$notes" = "$3" ]
}

# The bytes of an object's code up to the end of the entry stub; make is after it, and differs by a
# relocation.
code_bytes() {
    "$(tool clang llvm-objdump)" -d --no-leading-addr "$1" | awk -F '\t' '/^ / { print $1 }
        /ud2|brk/ { exit }'
}

# same_code_as_elf CPU PORT
same_code_as_elf() {
    clang -target "$1-apple-macos12" -c "$ports/$2" -o "$build/mach.o" || return 1
    clang -target "$1-linux-gnu" -c "$ports/$2" -o "$build/elf.o" || return 1
    local globals
    globals=$("$(tool clang llvm-nm)" -m "$build/mach.o" | sed -n 's/.*__text) //p' |
        grep -v '^non-external' | sort | tr '\n' ',')
    echo "globals: $globals"
    [ "$globals" = "private external _cr_ctx_make,private external _cr_ctx_switch," ] || return 1
    code_bytes "$build/mach.o" >"$build/mach.txt"
    code_bytes "$build/elf.o" >"$build/elf.txt"
    [ "$(wc -l <"$build/elf.txt")" -gt 20 ] && cmp "$build/mach.txt" "$build/elf.txt"
}

# gate NAME CC EMULATOR FILL PORT-OBJECT FLAGS...
gate() {
    local name="$1" cc="$2" emulator="$3" fill="$4" port="$5"
    shift 5
    if $cc $warnings "$@" "$here/$fill" "$port" -o "$build/$name" 2>"$build/step.err"; then
        step "$name" $emulator "$build/$name"
    else
        say "FAIL $name: does not build: $(head -n 1 "$build/step.err")"
    fi
}

# port NAME CC EMULATOR CPU SOURCE PROMISE [--new]: all tests of one assembly port in one
# configuration.
port() {
    local name="$1" cc="$2" emulator="$3" cpu="$4" source="$ports/$5" promise="$6" new="${7:-}"
    local object="$build/$name.o"
    if ! $cc -c "$source" -o "$object"; then
        say "FAIL $name: does not assemble"
        return
    fi
    check "$name: symbols_are_two_and_hidden" defines_two_hidden_symbols "$cc" "$object"
    check "$name: stack_is_not_executable" asks_for_no_executable_stack "$cc" "$object"
    check "$name: promises_only_what_it_keeps" promises "$cc" "$object" "$promise"
    set -- "$here/gate.c"
    case $promise in
    *BTI*)
        "$(tool "$cc" objcopy)" --rename-section .text=ctx_text "$object" || return
        set -- "$@" "$here/guarded.c"
        ;;
    esac
    gate "$name-gate" "$cc" "$emulator" "fill_$cpu.S" "$object" "$@"
    if have python3; then
        step "$name-mutants" python3 "$here/mutants.py" --cc "$cc" --emulator "$emulator" \
            --port "$source" $new
    else
        say "skip $name-mutants: no python3"
    fi
}

# call_frames NAME CC EMULATOR CPU SOURCE [--new]
call_frames() {
    gate "$1-call-frames" "$2" "$3" "fill_$4.S" "$ports/$5" "$here/cfi.c"
    if have python3; then
        step "$1-call-frame-mutants" python3 "$here/mutants.py" --cfi --cc "$2" --emulator "$3" \
            --port "$ports/$5" ${6:-}
    else
        say "skip $1-call-frame-mutants: no python3"
    fi
}

# ucontext NAME CC EMULATOR CPU
ucontext() {
    local object="$build/$1.o"
    if ! $2 $warnings -DCOIR_CTX_UCONTEXT -c "$ports/ucontext.c" -o "$object"; then
        say "FAIL $1: does not compile"
        return
    fi
    check "$1: symbols_are_two_and_hidden" defines_two_hidden_symbols "$2" "$object"
    gate "$1-gate" "$2" "$3" "fill_$4.S" "$object" -DCOIR_CTX_UCONTEXT "$here/gate.c"
}

case $($CC -dumpmachine) in
x86_64-*linux*)
    port x86_64 "$CC" "" x86_64 x86_64_sysv.S ""
    call_frames x86_64 "$CC" "" x86_64 x86_64_sysv.S
    ucontext ucontext "$CC" "" x86_64
    port x86_64-cet "$CC -fcf-protection=full" "" x86_64 x86_64_sysv.S "" $new
    ;;
aarch64-*linux*)
    AARCH64_CC=$CC AARCH64_EMULATOR=env
    ;;
*)
    say "skip native: no tests for $($CC -dumpmachine)"
    ;;
esac

if have "$AARCH64_CC" && have "$AARCH64_EMULATOR"; then
    cc="$AARCH64_CC -static" source=aarch64_aapcs64.S
    port aarch64 "$cc" "$AARCH64_EMULATOR" aarch64 $source ""
    call_frames aarch64 "$cc" "$AARCH64_EMULATOR" aarch64 $source
    port aarch64-standard "$cc -mbranch-protection=standard" "$AARCH64_EMULATOR" aarch64 $source \
        "AArch64 feature: BTI, PAC" $new
    call_frames aarch64-standard "$cc -mbranch-protection=standard" "$AARCH64_EMULATOR" aarch64 \
        $source $new
    port aarch64-bti "$cc -mbranch-protection=bti" "$AARCH64_EMULATOR" aarch64 $source \
        "AArch64 feature: BTI" $new
    ucontext aarch64-ucontext "$cc" "$AARCH64_EMULATOR" aarch64
else
    say "skip aarch64: no $AARCH64_CC or no ${AARCH64_EMULATOR%% *}"
fi

if have clang && have "$(tool clang llvm-objdump)" && have "$(tool clang llvm-nm)"; then
    check "mach-o x86_64: same_code_as_elf" same_code_as_elf x86_64 x86_64_sysv.S
    check "mach-o arm64: same_code_as_elf" same_code_as_elf arm64 aarch64_aapcs64.S
else
    say "skip mach-o: no clang with llvm-objdump and llvm-nm"
fi

count() { grep -c "^$1 " "$log"; }

echo "$(count ok) passed, $(count FAIL) failed, $(count skip) skipped"
[ "$(count FAIL)" -eq 0 ]
