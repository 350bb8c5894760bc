# SPDX-FileCopyrightText: The cgctl authors
# SPDX-License-Identifier: MIT

# Toolchain of Debian's cross-compiler for arm64. Programs are linked statically, since this machine has
# no shared libraries for them. Only headers of other packages are used, which are those of any
# architecture.
set(CMAKE_SYSTEM_NAME Linux)
set(CMAKE_SYSTEM_PROCESSOR aarch64)
set(CMAKE_CROSSCOMPILING_EMULATOR qemu-aarch64-static)
set(fmt_DIR /usr/lib/x86_64-linux-gnu/cmake/fmt)
