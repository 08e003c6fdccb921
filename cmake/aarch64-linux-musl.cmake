# Cross-compiles for aarch64 Linux with musl, by the Zig compiler (tool/zig). Programs are linked
# statically: each is one file that runs on any aarch64 Linux.

set(CMAKE_SYSTEM_NAME Linux)
set(CMAKE_SYSTEM_PROCESSOR aarch64)

set(CMAKE_C_COMPILER ${CMAKE_CURRENT_LIST_DIR}/../tool/zig cc)
set(CMAKE_C_COMPILER_TARGET aarch64-linux-musl)
set(CMAKE_ASM_COMPILER ${CMAKE_C_COMPILER})
set(CMAKE_ASM_FLAGS_INIT "-target aarch64-linux-musl")
set(CMAKE_EXE_LINKER_FLAGS_INIT -static)
set(CMAKE_CROSSCOMPILING_EMULATOR qemu-aarch64)

set(CMAKE_FIND_ROOT_PATH_MODE_PROGRAM NEVER)
set(CMAKE_FIND_ROOT_PATH_MODE_LIBRARY ONLY)
set(CMAKE_FIND_ROOT_PATH_MODE_INCLUDE ONLY)
