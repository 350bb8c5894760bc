// SPDX-FileCopyrightText: The cgctl authors
// SPDX-License-Identifier: MIT
#pragma once

#include <chrono>
#include <optional>

#include "cgctl/error.hpp"
#include "cgctl/host.hpp"
#include "cgctl/mitigation_policy.hpp"
#include "detail/isolated.hpp"

namespace cgctl::detail {

/// Frees pages of zombies by small writes to memory.reclaim of v2's root, with the
/// multi-generational LRU since Linux 6.3 (Documentation/mm/multigen_lru.rst, "Memcg LRU"). That
/// keeps the memory cgroups in lists, removed ones at the head, and reclaim from the whole machine
/// takes from the head of a random list; reclaim from another cgroup visits all below in turn,
/// live ones first. A write asks for the fewest pages that the kernel reclaims at once, because
/// behind a list's removed cgroups come live ones, which lose 64 pages each. Goes on while zombies
/// go, until Policy::cache_loss of the machine's page cache is reached. Returns nothing on other
/// machines.
std::optional<Result<std::chrono::nanoseconds>> reclaim_of_machine(
    const Host& host, const mitigation::Observation& seen, const mitigation::Policy& policy,
    Isolation how);

}  // namespace cgctl::detail
