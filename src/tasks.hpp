// SPDX-FileCopyrightText: The cgctl authors
// SPDX-License-Identifier: MIT
#pragma once

#include <sys/types.h>

#include <string>
#include <string_view>
#include <vector>

#include "cgctl/error.hpp"

namespace cgctl::detail {

/// The processes in the cgroup at `directory`.
Result<std::vector<pid_t>> processes_in(int directory, std::string_view shown);

/// Those in it and in all cgroups below; what is removed meanwhile is passed by.
Status add_processes_below(int directory, const std::string& shown, std::vector<pid_t>& out);

}  // namespace cgctl::detail
