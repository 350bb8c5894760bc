// SPDX-FileCopyrightText: The cgctl authors
// SPDX-License-Identifier: MIT
#pragma once

#include <string>

#include "cgctl/tree.hpp"
#include "tree/work.hpp"

namespace cgctl::tree::detail {

/// True if the caller has cancelled.
bool is_stopped(const Options& options);
Error cancelled(const char* operation, const std::string& path);

/// Returns the plan and its work. Fails like tree::plan().
Result<Work> work_for(const Host& host, const Tree& wanted, const Options& options);

}  // namespace cgctl::tree::detail
