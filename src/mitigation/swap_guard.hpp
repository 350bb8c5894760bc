// SPDX-FileCopyrightText: The cgctl authors
// SPDX-License-Identifier: MIT
#pragma once

#include <string>

#include "cgctl/host.hpp"

namespace cgctl::detail {

/// True if the kernel may swap out memory when it reclaims from a v1 cgroup: there is free swap,
/// and memory.swappiness is not 0 in this cgroup or in one below it. A removed cgroup, which cannot
/// be asked, had the value of its parent when it was made.
bool may_swap(const Host& host, const std::string& cgroup);

}  // namespace cgctl::detail
