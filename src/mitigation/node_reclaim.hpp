// SPDX-FileCopyrightText: The cgctl authors
// SPDX-License-Identifier: MIT
#pragma once

#include <chrono>
#include <cstdint>
#include <vector>

#include "cgctl/error.hpp"
#include "cgctl/host.hpp"
#include "cgctl/mitigation_policy.hpp"
#include "detail/isolated.hpp"

namespace cgctl::detail {

/// Directory of the NUMA nodes, below Roots::sys.
inline constexpr const char* nodes_directory = "devices/system/node";

/// Returns the numbers of the NUMA nodes that are online; none if they cannot be read.
std::vector<std::uint64_t> online_nodes(const Host& host);

/// Returns the NUMA nodes whose /sys/devices/system/node/nodeN/reclaim can be written (Linux 6.17).
std::vector<std::uint64_t> reclaimable_nodes(const Host& host);

/// Frees pages of zombies by small writes to the file `reclaim` of each NUMA node. The kernel
/// begins with a small share of each cgroup's pages, so that zombies with a page or two go first.
/// Goes on while zombies go, until Policy::cache_loss of the machine's page cache is reached. No
/// memory is swapped out.
Result<std::chrono::nanoseconds> reclaim_nodes(const Host& host,
                                               const mitigation::Observation& seen,
                                               const mitigation::Policy& policy, Isolation how);

}  // namespace cgctl::detail
