// SPDX-FileCopyrightText: The cgctl authors
// SPDX-License-Identifier: MIT
#pragma once

#include <chrono>
#include <cstdint>
#include <optional>
#include <string>
#include <utility>
#include <vector>

#include "cgctl/error.hpp"
#include "cgctl/host.hpp"
#include "cgctl/mitigation_policy.hpp"
#include "cgctl/numa_stat.hpp"
#include "cgctl/unique_fd.hpp"

/// Freeing zombies: look (observe), decide (a pure function), act by the mildest thing that works,
/// and prove what it did.
///
///     auto host = cgctl::Host::detect();
///     cgctl::mitigation::Policy policy;
///     cgctl::numa::CostGuard guard;
///     auto before = cgctl::mitigation::observe(*host, guard, policy);
///     auto plan = cgctl::mitigation::decide(*before, {}, policy, cgctl::mitigation::uptime());
///     if (plan.decision == Decision::act) auto outcome = cgctl::mitigation::carry_out(*host,
///     guard, plan, policy, *before);
///
/// What runs again and again keeps a History: Store.
namespace cgctl::mitigation {

/// CLOCK_BOOTTIME, which goes on while the machine sleeps.
std::chrono::seconds uptime() noexcept;

/// Bytes in the page cache of the whole machine without tmpfs and shared memory, which no drop
/// frees; 0 where /proc/vmstat does not tell.
[[nodiscard]] Result<std::uint64_t> page_cache(const Host& host);

/// Estimates the kernel memory of `zombies` removed memory cgroups, in bytes: 12 KiB each and 2 KiB
/// for each possible CPU (measured on Linux 6.18: 12.7 KiB of slab and 4.3 KiB of per-CPU memory
/// with 2 CPUs). The pages that keep them are not included.
[[nodiscard]] Result<std::uint64_t> kernel_memory(const Host& host, std::uint64_t zombies);

/// Bytes of memory the machine has (MemTotal of /proc/meminfo); 0 without that file.
[[nodiscard]] Result<std::uint64_t> total_memory(const Host& host);

/// Pages of files that were read again soon after their eviction, since boot: what a mitigation
/// took away from somebody (/proc/vmstat workingset_refault_file, before Linux 5.9
/// workingset_refault); nothing where neither is there.
[[nodiscard]] Result<std::optional<std::uint64_t>> refaults(const Host& host);

/// What a look is for.
enum class Intent {
  look,  ///< nothing is changed
  act,  ///< on v2 with as many zombies as call for action a cgroup is made for a moment, to ask the
        ///< kernel whether pages keep zombies (Observation::pages_reparented)
};

/// Looks at the machine; costs one count, one attribution, a tenth of a second for the load of the
/// disks, and a few cheap reads of the root's numa_stat, or a single dear one, or none and its
/// predicted cost where that is above ten times Policy::read_cost_limit. Where `history` has a
/// probe younger than probe_interval, the cost is predicted from that without a read.
[[nodiscard]] Result<Observation> observe(const Host& host, numa::CostGuard& guard,
                                          const Policy& policy, const History& history = {},
                                          Intent intent = Intent::look);

struct Outcome {
  std::vector<Action> actions;
  Observation after;
  Effect effect = Effect::none;
  std::string explanation;  ///< why zombies are left, when ineffective
  /// Of the last rung when every rung failed (EACCES: not root), else of the look that was to show
  /// what they did. What cannot be shown to have freed anything counts as ineffective.
  Status status = {};
};

/// Climbs the plan's ladder as far as climb_on() says. Each rung runs in a child process
/// with a deadline (a write to drop_caches cannot be interrupted otherwise), which dies with the
/// calling thread; the child makes system calls only, so that a program with threads may call this.
/// The zombies are counted for a second before the first rung, to learn how many come, and after
/// each until their number has stopped falling. Blocks for seconds. When the
/// descriptor `stop` becomes readable, it ends soon, with End::cancelled. An error means that no
/// rung was tried; what went wrong from then on is in the Outcome. A child that the deadline did
/// not end, since it was inside an uninterruptible system call, stays the caller's, to be waited
/// for (waitpid(2)).
[[nodiscard]] Result<Outcome> carry_out(const Host& host, numa::CostGuard& guard, const Plan& plan,
                                        const Policy& policy, const Observation& before,
                                        int stop = -1);

/// One level of drop_caches by itself, without counting.
/// errc::timed_out when the deadline passed.
[[nodiscard]] Result<std::chrono::nanoseconds> drop_caches(const Host& host, Rung rung,
                                                           std::chrono::nanoseconds deadline);

/// The lock against a second instance, and the history kept between runs: two small files in a
/// directory of their own (such as /var/lib/cgctl). Replaced atomically. Of another boot, what
/// depends on the running kernel is forgotten, and times are translated by the wall clock, so that
/// the number of actions a day holds over a reboot. What was changed, is of the future, longer than
/// 256 KiB or no regular file is not understood: set aside, it counts as empty.
class Store {
 public:
  /// Makes the directory when it is missing (one level) and takes the lock. errc::busy when another
  /// instance has it.
  [[nodiscard]] static Result<Store> open(const Host& host, const std::string& directory);
  /// The history without lock and without making anything: for a dry run. Empty when there is none.
  [[nodiscard]] static Result<History> peek(const Host& host, const std::string& directory);

  [[nodiscard]] Result<History> load() const;
  [[nodiscard]] Status save(const History& history) const;

  /// Set by load() when the file could not be understood and was renamed out of the way.
  [[nodiscard]] const std::string& warning() const noexcept { return warning_; }

 private:
  Store(std::string directory, UniqueFd lock, std::string boot_id) noexcept;

  std::string directory_;
  UniqueFd lock_;
  std::string boot_id_;
  mutable std::string warning_;
};

}  // namespace cgctl::mitigation
