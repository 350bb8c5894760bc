// SPDX-FileCopyrightText: The cgctl authors
// SPDX-License-Identifier: MIT
#pragma once

#include <string>

#include "cgctl/host.hpp"
#include "cgctl/mitigation_policy.hpp"

namespace cgctl::detail {

/// The memory that the kernel may swap out.
enum class Swappable { none, of_live_cgroups, of_zombies };

/// Returns the memory that the kernel may swap out when it reclaims from a v1 cgroup: none without
/// free swap; that of live cgroups if memory.swappiness is not 0 in this cgroup or in one below it;
/// that of zombies if some below it hold anonymous memory or tmpfs files. A zombie keeps the
/// swappiness that its parent had when it was made, and cannot be asked for it.
Swappable swappable(const Host& host, const mitigation::Observation& seen,
                    const std::string& cgroup);

}  // namespace cgctl::detail
