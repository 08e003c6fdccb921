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
install(FILES include/coir.h include/coir_io.h include/coir_post.h include/coir_buffer.h
    include/coir_net.h include/coir_loop.h include/coir_test.h
    TYPE INCLUDE COMPONENT dev)
install(FILES doc/coir.3 DESTINATION ${CMAKE_INSTALL_MANDIR}/man3 COMPONENT dev)

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
list(TRANSFORM CMAKE_DL_LIBS PREPEND -l OUTPUT_VARIABLE pc_dl_libs)
configure_file(cmake/coir.pc.in coir.pc @ONLY)
install(FILES ${PROJECT_BINARY_DIR}/coir.pc DESTINATION ${CMAKE_INSTALL_LIBDIR}/pkgconfig
    COMPONENT dev)
