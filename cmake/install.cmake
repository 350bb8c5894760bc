# SPDX-FileCopyrightText: The cgctl authors
# SPDX-License-Identifier: MIT
include(CMakePackageConfigHelpers)

set(package_dir "${CMAKE_INSTALL_LIBDIR}/cmake/cgctl")

if(CGCTL_STATIC)
  install(CODE "set(CMAKE_INSTALL_DO_STRIP TRUE)")
endif()

install(
  TARGETS cgctl cgctl_libcgroup cgctl_systemd
  EXPORT cgctl_targets
  INCLUDES DESTINATION "${CMAKE_INSTALL_INCLUDEDIR}")
install(DIRECTORY "${PROJECT_SOURCE_DIR}/include/" TYPE INCLUDE)
install(
  EXPORT cgctl_targets
  FILE cgctl-targets.cmake
  NAMESPACE cgctl::
  DESTINATION "${package_dir}")

configure_package_config_file(
  "${CMAKE_CURRENT_LIST_DIR}/cgctl-config.cmake.in" cgctl-config.cmake
  INSTALL_DESTINATION "${package_dir}")
write_basic_package_version_file(cgctl-config-version.cmake COMPATIBILITY SameMinorVersion)
install(
  FILES "${PROJECT_BINARY_DIR}/cgctl-config.cmake"
        "${PROJECT_BINARY_DIR}/cgctl-config-version.cmake"
  DESTINATION "${package_dir}")

# The prefix is found from where the .pc file lies, so the installed tree can be moved.
cmake_path(
  RELATIVE_PATH CMAKE_INSTALL_PREFIX
  BASE_DIRECTORY "${CMAKE_INSTALL_FULL_LIBDIR}/pkgconfig"
  OUTPUT_VARIABLE pc_prefix)
if(CGCTL_LIBCGROUP AND NOT CGCTL_STATIC AND NOT BUILD_SHARED_LIBS)
  set(pc_libcgroup " -lcgroup")
endif()
foreach(name IN ITEMS cgctl cgctl-libcgroup cgctl-systemd)
  configure_file("${CMAKE_CURRENT_LIST_DIR}/${name}.pc.in" ${name}.pc @ONLY)
  install(FILES "${PROJECT_BINARY_DIR}/${name}.pc"
          DESTINATION "${CMAKE_INSTALL_LIBDIR}/pkgconfig")
endforeach()

if(CGCTL_BUILD_TOOL)
  install(TARGETS cgctl_tool)
  if(CGCTL_INSTALL_LIBCGROUP_NAMES)
    foreach(name IN ITEMS cgclassify cgcreate cgdelete cgexec cgget cgset cgsnapshot lscgroup lssubsys)
      install(
        CODE "file(CREATE_LINK cgctl \"\$ENV{DESTDIR}\${CMAKE_INSTALL_PREFIX}/${CMAKE_INSTALL_BINDIR}/${name}\" SYMBOLIC)"
        COMPONENT libcgroup_names)
    endforeach()
  endif()
  set(completions "${PROJECT_SOURCE_DIR}/tools/cgctl/completions")
  install(
    FILES "${completions}/cgctl.bash"
    DESTINATION "${CMAKE_INSTALL_DATADIR}/bash-completion/completions"
    RENAME cgctl)
  install(FILES "${completions}/_cgctl" DESTINATION "${CMAKE_INSTALL_DATADIR}/zsh/vendor-completions")
  install(FILES "${completions}/cgctl.fish"
          DESTINATION "${CMAKE_INSTALL_DATADIR}/fish/vendor_completions.d")
  install(DIRECTORY "${PROJECT_SOURCE_DIR}/docs/schema" DESTINATION "${CMAKE_INSTALL_DATADIR}/cgctl")
  install(FILES "${PROJECT_SOURCE_DIR}/tools/cgctl/cgctl.8" DESTINATION "${CMAKE_INSTALL_MANDIR}/man8")

  # Nothing runs by itself: the units are not enabled, and all else is an example. The prefix that the
  # files name is known only when they are installed.
  install(
    CODE "set(deploy \"${PROJECT_SOURCE_DIR}/examples/deploy\")
set(bin \"\${CMAKE_INSTALL_PREFIX}/${CMAKE_INSTALL_BINDIR}\")
set(examples \"${CMAKE_INSTALL_DATADIR}/doc/cgctl/examples\")
set(run ${CMAKE_CROSSCOMPILING_EMULATOR} \"$<TARGET_FILE:cgctl_tool>\")
include(\"${CMAKE_CURRENT_LIST_DIR}/install_deploy.cmake\")")
endif()
