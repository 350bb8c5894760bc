// SPDX-FileCopyrightText: The cgctl authors
// SPDX-License-Identifier: MIT
#pragma once

#include <chrono>
#include <cstdint>

#include "cgctl/mitigation_policy.hpp"

/// Simulates, in steps of a tenth of a second, a node on which cgroups are removed many times a
/// second. The kernel counts a freed cgroup for some time: /proc/cgroups falls only after an RCU
/// grace period and a work item.
namespace cgctl::simulation {

struct Churn {
  double removals = 0;            ///< per second; each leaves a zombie
  std::chrono::seconds delay{3};  ///< from freeing a zombie until it is no longer counted
  bool freeable = true;  ///< true: dropping the page cache frees the zombies; false: nothing does
};

struct ChurnResult {
  std::uint64_t actions = 0;
  std::uint64_t effective = 0;
  std::uint64_t slab_drops = 0;
  std::uint64_t most_zombies = 0;
};

/// Simulates an hour under `policy`, which checks every five seconds.
ChurnResult run_churn(const Churn& churn, const mitigation::Policy& policy);

}  // namespace cgctl::simulation
