// SPDX-FileCopyrightText: The cgctl authors
// SPDX-License-Identifier: MIT
#pragma once

#include <chrono>
#include <string>
#include <vector>

#include "cgctl/error.hpp"
#include "cgctl/host.hpp"
#include "cgctl/mitigation_policy.hpp"
#include "detail/isolated.hpp"

namespace cgctl::detail {

/// The cgroups whose zombies lose pages by v1's memory.force_empty, and one whose zombies do not.
struct Squeezable {
  /// The cgroups that squeeze() writes to, see subtrees(); none on v2, in a captured tree that
  /// lacks the file, and without the right to write it.
  std::vector<zombies::Ancestor> tops;
  /// The first ancestor, other than the root, whose memory.use_hierarchy is 0: no reclaim but that
  /// of the whole machine reaches the zombies below it. Empty if there is none.
  std::string without_hierarchy;
};

/// Finds out what squeeze() reaches of the zombies below `ancestors`. Adds errors to `unread`.
Squeezable squeezable(const Host& host, const std::vector<zombies::Ancestor>& ancestors,
                      std::vector<Error>& unread);

/// Frees pages of zombies by v1's memory.force_empty of live cgroups above them (seen.squeezable).
/// The kernel reclaims in passes: the first takes up to 32 pages of each removed cgroup, but only
/// 1/4096 of a long list of a live one, and before each pass it looks for a signal. So a process
/// that writes to the file is killed when the cgroup's usage has fallen by the bytes of a step (see
/// Steps), when it has used Policy::round_time, or when another task of its CPU had to wait longer
/// than Policy::longest_delay. Rounds go on while zombies go, until Policy::cache_loss is reached.
/// No limit is written.
///
/// errc::over_budget where less than Policy::least_cache of clean page cache is below a cgroup
/// (Linux 5.5 to 5.15: less of inactive page cache), because the kernel would go on to short lists;
/// where the kernel may swap, see swappable(); or if a task waited too long.
Result<std::chrono::nanoseconds> squeeze(const Host& host, const mitigation::Observation& seen,
                                         const mitigation::Policy& policy, Isolation how);

}  // namespace cgctl::detail
