# Link-time optimization of the static library, and of the programs of this build that link to it:
# coir::coir passes the options on. An installed coir::coir does not, because its programs may have
# another compiler. gcc's objects hold machine code as well, so programs without LTO can link to
# them; those of clang need its own linker, lld.

if(CMAKE_C_COMPILER_ID STREQUAL "GNU")
    set(lto_option -flto=auto) # as many jobs as there are processors
    if(CMAKE_C_COMPILER_VERSION VERSION_LESS 10)
        set(lto_option -flto)
    endif()
    target_compile_options(coir PRIVATE $<$<COMPILE_LANGUAGE:C>:-ffat-lto-objects>)
elseif(CMAKE_C_COMPILER_ID MATCHES "Clang")
    set(lto_option -flto)
    set_target_properties(coir PROPERTIES INTERPROCEDURAL_OPTIMIZATION ON) # so llvm-ar is used
    if(NOT APPLE)
        target_link_options(coir PUBLIC $<BUILD_INTERFACE:-fuse-ld=lld>)
    endif()
else()
    message(FATAL_ERROR "COIR_LTO works with gcc and clang, not with ${CMAKE_C_COMPILER_ID}.")
endif()

foreach(language C CXX)
    set(same_compiler "${language},${CMAKE_C_COMPILER_ID}")
    target_compile_options(coir
        PUBLIC $<BUILD_INTERFACE:$<$<COMPILE_LANG_AND_ID:${same_compiler}>:${lto_option}>>)
    target_link_options(coir
        PUBLIC $<BUILD_INTERFACE:$<$<LINK_LANG_AND_ID:${same_compiler}>:${lto_option}>>)
endforeach()
