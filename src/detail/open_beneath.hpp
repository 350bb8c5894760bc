// SPDX-FileCopyrightText: The cgctl authors
// SPDX-License-Identifier: MIT
#pragma once

#include "cgctl/error.hpp"

namespace cgctl::detail {

/// Opens a clean path like fs::open_beneath() but without allocating, for hot paths. Returns the
/// descriptor or a negated errno: -ELOOP for a symbolic link, -EXDEV for another file system.
int open_beneath(int directory, const char* path, int flags) noexcept;

/// Returns the error as it is where the file, and so its cgroup, is gone; else ENODEV has another
/// reason, and the error is not errc::vanished.
Error unless_there(Error error, int directory, const char* path);

}  // namespace cgctl::detail
