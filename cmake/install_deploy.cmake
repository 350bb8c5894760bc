# SPDX-FileCopyrightText: The cgctl authors
# SPDX-License-Identifier: MIT

# Runs during installation. Installs the files of `deploy`: the units for systemd, all others in
# `examples`, with the sample of the configuration that `run` prints. The files then name `bin`, where
# the command is.
set(prefix "$ENV{DESTDIR}${CMAKE_INSTALL_PREFIX}")
file(GLOB_RECURSE files RELATIVE "${deploy}" "${deploy}/*")
foreach(file IN LISTS files)
  string(REGEX REPLACE "^systemd/" "lib/systemd/system/" target "${file}")
  if(target STREQUAL file)
    set(target "${examples}/${file}")
  endif()
  message(STATUS "Installing: ${prefix}/${target}")
  file(READ "${deploy}/${file}" text)
  string(REPLACE "/usr/local/bin" "${bin}" text "${text}")
  file(WRITE "${prefix}/${target}" "${text}")
endforeach()

message(STATUS "Installing: ${prefix}/${examples}/mitigate.toml")
execute_process(
  COMMAND ${run} mitigate --print-config --config /dev/null
  OUTPUT_FILE "${prefix}/${examples}/mitigate.toml" COMMAND_ERROR_IS_FATAL ANY)
