// SPDX-FileCopyrightText: The cgctl authors
// SPDX-License-Identifier: MIT
#pragma once

#include <chrono>
#include <cstdint>
#include <functional>
#include <string>
#include <vector>

#include "cgctl/mitigation_policy.hpp"

/// Nodes that age by the minute: how cgroups come, go and stay as zombies, what a read then costs,
/// and what dropping caches frees and costs. On them strategies are compared.
namespace cgctl::simulation {

using std::chrono::minutes;

/// What pins the zombies that a minute brings.
struct Births {
  double cache = 0;  ///< page cache: goes with drop_caches=1
  double slab = 0;   ///< dentries and inodes: goes with drop_caches=2
  double tmpfs = 0;  ///< nothing frees it
};

struct Model {
  const char* name;
  const char* what;
  /// Zombies that this minute since the start brings.
  std::function<Births(minutes)> births;
  double decay = 0;  ///< the share of the zombies that goes by itself in a minute
  std::uint64_t live = 50;
  /// Of a read of the root's numa_stat, for each memory cgroup (commit dd8657b6c1cb: 70 us); 0: the
  /// kernel does not walk.
  std::chrono::nanoseconds cost_each = std::chrono::microseconds(70);
  /// Whether the kernel tells what pins zombies (v1).
  bool tells_pins = true;
  bool pages_reparented = false;
  bool can_reclaim = false;  ///< v2 with memory.reclaim
  /// Minutes for which the disks are busy after the cache was given up.
  unsigned busy_after = 5;
};

/// The kinds of churn.
std::vector<Model> models();

struct Result {
  double actions_a_day = 0;
  std::uint64_t most_in_24_hours = 0;
  std::chrono::nanoseconds worst_read{};
  std::uint64_t most_zombies = 0;
  double gibibytes_a_day = 0;            ///< page cache given up
  std::uint64_t useless = 0;             ///< actions that freed next to nothing
  std::uint64_t drops = 0;               ///< of caches, by cgctl
  std::uint64_t while_busy = 0;          ///< actions while the disks were busy
  std::uint64_t refused = 0;             ///< looks at which a guard spoke against acting
  std::chrono::seconds longest_pause{};  ///< between two actions
};

/// `days` of a node under cgctl's policy, a look a minute.
Result run_policy(const Model& model, const mitigation::Policy& policy, unsigned days);
/// The same under `echo 3 > drop_caches` at fixed times.
Result run_cron(const Model& model, std::chrono::hours every, unsigned days);

/// All models under cgctl's policy and two cron jobs, as a table in Markdown.
std::string table(unsigned days);

}  // namespace cgctl::simulation
