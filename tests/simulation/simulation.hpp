// SPDX-FileCopyrightText: The cgctl authors
// SPDX-License-Identifier: MIT
#pragma once

#include <chrono>
#include <cstdint>
#include <functional>
#include <string>
#include <vector>

#include "cgctl/mitigation_policy.hpp"

/// Simulates nodes minute by minute, to compare strategies: cgroups are created, removed and stay
/// as zombies; a read of memory.numa_stat takes time; dropping caches frees zombies and has a
/// price.
namespace cgctl::simulation {

using std::chrono::minutes;

/// The zombies that appear in a minute, by what keeps them alive.
struct Births {
  double cache = 0;  ///< page cache: drop_caches=1 frees them
  double slab = 0;   ///< dentries and inodes: drop_caches=2 frees them
  double tmpfs = 0;  ///< nothing frees it
};

struct Model {
  const char* name;
  const char* what;
  /// Returns the new zombies of a minute, counted from the start.
  std::function<Births(minutes)> births;
  double decay = 0;  ///< share of the zombies that disappear by themselves in a minute
  std::uint64_t live = 50;
  /// Time that a read of the root's numa_stat takes for each memory cgroup (commit dd8657b6c1cb: 70
  /// us). 0: the kernel has the fix.
  std::chrono::nanoseconds cost_each = std::chrono::microseconds(70);
  /// True if the kernel's counters show what keeps zombies alive (v1).
  bool tells_pins = true;
  bool pages_reparented = false;
  bool can_reclaim = false;  ///< v2 with memory.reclaim
  /// Minutes for which the disks are busy after the page cache was dropped.
  unsigned busy_after = 5;
  bool can_evict = false;    ///< a census names the zombies' pages
  bool can_squeeze = false;  ///< v1, and the zombies are below a cgroup with page cache
};

/// The kinds of churn, on kernels without the rung that takes the zombies' pages alone.
std::vector<Model> models();
/// Returns the same node with the rung evict, or with squeeze.
Model with_evict(Model model);
Model with_squeeze(Model model);

struct Result {
  double actions_a_day = 0;
  std::uint64_t most_in_24_hours = 0;
  std::chrono::nanoseconds worst_read{};
  std::uint64_t most_zombies = 0;
  double gibibytes_a_day = 0;            ///< page cache given up
  double kibibytes_a_zombie = 0;         ///< of these, for each zombie freed
  std::uint64_t useless = 0;             ///< actions that freed next to nothing
  std::uint64_t drops = 0;               ///< drops of caches by cgctl
  std::uint64_t while_busy = 0;          ///< actions while the disks were busy
  std::uint64_t refused = 0;             ///< checks at which a guard objected
  std::chrono::seconds longest_pause{};  ///< between two actions
};

/// Simulates `days` of a node under cgctl's policy, which checks once a minute.
Result run_policy(const Model& model, const mitigation::Policy& policy, unsigned days);
/// Simulates the same under `echo 3 > drop_caches` at fixed times.
Result run_cron(const Model& model, std::chrono::hours every, unsigned days);

/// Returns a Markdown table of all models under cgctl's policy and two cron jobs.
std::string table(unsigned days);

}  // namespace cgctl::simulation
