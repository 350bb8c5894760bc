// SPDX-FileCopyrightText: The cgctl authors
// SPDX-License-Identifier: MIT
#pragma once

namespace cgctl::detail {

/// fs::open_beneath() of a clean path without an allocation, for hot paths: returns the descriptor
/// or a negated errno, -ELOOP for a symbolic link, -EXDEV for another file system.
int open_beneath(int directory, const char* path, int flags) noexcept;

}  // namespace cgctl::detail
