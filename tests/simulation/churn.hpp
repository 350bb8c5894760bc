// SPDX-FileCopyrightText: The cgctl authors
// SPDX-License-Identifier: MIT
#pragma once

#include <chrono>
#include <cstdint>

#include "cgctl/mitigation_policy.hpp"

/// A node on which cgroups are removed many times a second, by tenths of a second, and whose kernel
/// lets go of a freed cgroup late: /proc/cgroups falls after an RCU grace period and a work item.
namespace cgctl::simulation {

struct Churn {
  double removals = 0;            ///< a second; each leaves a zombie
  std::chrono::seconds delay{3};  ///< until what was freed is no longer counted
  bool freeable = true;           ///< by dropping the page cache; false: by nothing
};

struct ChurnResult {
  std::uint64_t actions = 0;
  std::uint64_t effective = 0;
  std::uint64_t slab_drops = 0;
  std::uint64_t most_zombies = 0;
};

/// An hour under `policy`, with a look every five seconds.
ChurnResult run_churn(const Churn& churn, const mitigation::Policy& policy);

}  // namespace cgctl::simulation
