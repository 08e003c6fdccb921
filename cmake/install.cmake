# What is installed: the headers, the libraries, and what finds them: coir::coir (static) and
# coir::coir_shared for find_package, coir.pc for pkg-config. All paths in them are relative, so
# that the installed tree can be moved. What runs and what is compiled against are two components.

include(GNUInstallDirs)
include(CMakePackageConfigHelpers)

set(libraries coir)
if(COIR_SHARED)
    list(APPEND libraries coir_shared)
endif()
install(TARGETS ${libraries} EXPORT coir
    INCLUDES DESTINATION ${CMAKE_INSTALL_INCLUDEDIR}
    ARCHIVE COMPONENT dev
    LIBRARY COMPONENT runtime NAMELINK_COMPONENT dev)
file(GLOB headers CONFIGURE_DEPENDS ${PROJECT_SOURCE_DIR}/include/*.h)
install(FILES ${headers} TYPE INCLUDE COMPONENT dev)

# `man coir_read` finds the one page, as that of each function does.
install(FILES doc/coir.3 DESTINATION ${CMAKE_INSTALL_MANDIR}/man3 COMPONENT dev)
foreach(header IN LISTS headers)
    file(STRINGS ${header} declarations REGEX "^COIR_API ")
    foreach(declaration IN LISTS declarations)
        if(declaration MATCHES "[ *](coir_[a-z_]+)\\(")
            set(page ${PROJECT_BINARY_DIR}/man/${CMAKE_MATCH_1}.3)
            file(CONFIGURE OUTPUT ${page} CONTENT ".so man3/coir.3\n")
            install(FILES ${page} DESTINATION ${CMAKE_INSTALL_MANDIR}/man3 COMPONENT dev)
        endif()
    endforeach()
endforeach()

set(package_dir ${CMAKE_INSTALL_LIBDIR}/cmake/coir)
write_basic_package_version_file(${PROJECT_BINARY_DIR}/coir-config-version.cmake
    COMPATIBILITY ${compatibility})
install(FILES cmake/coir-config.cmake ${PROJECT_BINARY_DIR}/coir-config-version.cmake
    DESTINATION ${package_dir} COMPONENT dev)
install(EXPORT coir NAMESPACE coir:: FILE coir-targets.cmake DESTINATION ${package_dir}
    COMPONENT dev)

# From an absolute folder the way to the prefix is unknown.
set(pc_prefix ${CMAKE_INSTALL_PREFIX})
if(NOT IS_ABSOLUTE ${CMAKE_INSTALL_LIBDIR})
    string(REGEX REPLACE "[^/]+" ".." up ${CMAKE_INSTALL_LIBDIR}/pkgconfig)
    set(pc_prefix "\${pcfiledir}/${up}")
endif()
cmake_path(APPEND pc_libdir "\${prefix}" ${CMAKE_INSTALL_LIBDIR})
cmake_path(APPEND pc_includedir "\${prefix}" ${CMAKE_INSTALL_INCLUDEDIR})
set(pc_clash ${stack_clash})
# Programs find the shared library where it is; a system's own folder needs nothing said.
if(COIR_SHARED AND NOT CMAKE_INSTALL_PREFIX STREQUAL "/usr")
    set(pc_rpath "-Wl,-rpath,\${libdir} ")
endif()
list(TRANSFORM CMAKE_DL_LIBS PREPEND -l OUTPUT_VARIABLE pc_dl_libs)
configure_file(cmake/coir.pc.in coir.pc @ONLY)
install(FILES ${PROJECT_BINARY_DIR}/coir.pc DESTINATION ${CMAKE_INSTALL_LIBDIR}/pkgconfig
    COMPONENT dev)
