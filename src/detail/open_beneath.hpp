// SPDX-FileCopyrightText: The cgctl authors
// SPDX-License-Identifier: MIT
#pragma once

namespace cgctl::detail {

/// Opens a clean path like fs::open_beneath() but without allocating, for hot paths. Returns the
/// descriptor or a negated errno: -ELOOP for a symbolic link, -EXDEV for another file system.
int open_beneath(int directory, const char* path, int flags) noexcept;

}  // namespace cgctl::detail
