// SPDX-FileCopyrightText: The cgctl authors
// SPDX-License-Identifier: MIT
#pragma once

#include <string>

#include "cgctl/tree.hpp"
#include "tree/work.hpp"

namespace cgctl::tree::detail {

/// Whether the caller wants no more.
bool is_stopped(const Options& options);
Error cancelled(const char* operation, const std::string& path);

/// Errors as of tree::plan().
Result<Work> work_for(const Host& host, const Tree& wanted, const Options& options);

}  // namespace cgctl::tree::detail
