# The Debian packages, named as Debian names a library's: libcoir<abi> has what programs load,
# libcoir-dev what they are compiled with.
#
#     cmake --preset deb && cmake --build --preset deb --target package

set(CPACK_GENERATOR DEB)
set(CPACK_DEB_COMPONENT_INSTALL ON)
set(CPACK_DEBIAN_FILE_NAME DEB-DEFAULT)
set(CPACK_DEBIAN_PACKAGE_CONTROL_STRICT_PERMISSION ON)
set(CPACK_STRIP_FILES ON)
if(NOT CPACK_PACKAGE_CONTACT) # the maintainer of a package is who builds it
    set(CPACK_PACKAGE_CONTACT "the coir developers <coir@example.invalid>")
endif()

set(CPACK_DEBIAN_RUNTIME_PACKAGE_NAME libcoir${abi})
set(CPACK_DEBIAN_RUNTIME_PACKAGE_SECTION libs)
set(CPACK_DEBIAN_RUNTIME_DESCRIPTION "The shared library, for programs that need it.")
set(CPACK_DEBIAN_RUNTIME_PACKAGE_SHLIBDEPS ON)
set(CPACK_DEBIAN_PACKAGE_GENERATE_SHLIBS ON)
set(CPACK_DEBIAN_PACKAGE_GENERATE_SHLIBS_POLICY ">=")

set(CPACK_DEBIAN_DEV_PACKAGE_NAME libcoir-dev)
set(CPACK_DEBIAN_DEV_PACKAGE_SECTION libdevel)
set(CPACK_DEBIAN_DEV_DESCRIPTION
    "The header, the static library, and what pkg-config and CMake look for.")
set(CPACK_DEBIAN_DEV_PACKAGE_DEPENDS "libcoir${abi} (= ${PROJECT_VERSION})")

foreach(component RUNTIME DEV)
    string(TOLOWER ${component} name)
    install(FILES LICENSE RENAME copyright COMPONENT ${name}
        DESTINATION ${CMAKE_INSTALL_DATAROOTDIR}/doc/${CPACK_DEBIAN_${component}_PACKAGE_NAME})
endforeach()

include(CPack)
