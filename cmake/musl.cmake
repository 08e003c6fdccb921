# Compiles for this machine with musl, by the wrapper of musl-tools. The kernel's headers are those of
# the system, after all others.

set(CMAKE_C_COMPILER musl-gcc)
set(CMAKE_ASM_COMPILER musl-gcc)
execute_process(COMMAND gcc -print-multiarch OUTPUT_VARIABLE multiarch
    OUTPUT_STRIP_TRAILING_WHITESPACE)
set(CMAKE_C_FLAGS_INIT "-idirafter /usr/include -idirafter /usr/include/${multiarch}")
