// SPDX-FileCopyrightText: The cgctl authors
// SPDX-License-Identifier: MIT
#pragma once

#include <algorithm>
#include <cerrno>
#include <chrono>
#include <cstdint>

#include "cgctl/error.hpp"
#include "cgctl/host.hpp"
#include "cgctl/mitigation_policy.hpp"
#include "detail/isolated.hpp"
#include "mitigation/kernel_count.hpp"
#include "mitigation/steps.hpp"

namespace cgctl::detail {

/// Asks the kernel, by one write to a file like memory.reclaim, to reclaim `bytes`. Makes system
/// calls only. Returns an errno; 0 also if less was reclaimed. No memory is swapped out where the
/// kernel can be told (Linux 6.9).
int ask_for(int file, std::uint64_t bytes) noexcept;

/// Calls `ask`, which is like ask_for(), with at most `largest` bytes as long as Steps goes on.
/// Makes system calls only. Returns an errno.
template <class Ask>
int reclaim_in_steps(Ask& ask, const Steps::Limits& limits, std::uint64_t largest,
                     std::chrono::nanoseconds still_for, KernelCount& zombies) noexcept {
  Steps steps(limits, zombies.left());
  while (steps.go_on()) {
    const std::uint64_t bytes = std::min(steps.next(), largest);
    const int error = ask(bytes);
    if (error != 0) return error == ENODEV ? 0 : error;  // the cgroup was removed
    steps.note(bytes, zombies.settle(still_for));
  }
  return 0;
}

/// Returns the limits for a rung that reclaims from each of `parts` parts of the machine in turn.
Steps::Limits limits_of_part(const mitigation::Observation& seen, const mitigation::Policy& policy,
                             std::uint64_t parts);

/// Frees pages of zombies by writing to v2's memory.reclaim (since Linux 5.19, cgroup-v2.rst) of
/// the cgroups that most zombies are directly below. Reclaim from a cgroup also covers its removed
/// descendants. It covers live ones too, so it goes on in steps of at most Policy::reclaim_chunk
/// while zombies go, until live cgroups may have lost Policy::cache_loss of the page cache below,
/// or four steps.
Result<std::chrono::nanoseconds> reclaim(const Host& host, const mitigation::Observation& seen,
                                         const mitigation::Policy& policy, Isolation how);

}  // namespace cgctl::detail
