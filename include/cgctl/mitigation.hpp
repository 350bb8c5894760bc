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
#include "cgctl/zombies.hpp"

/// Frees zombies in four steps: observe, decide (a pure function), act by the mildest rung that
/// works, and verify the effect.
///
///     auto host = cgctl::Host::detect();
///     cgctl::mitigation::Policy policy;
///     cgctl::numa::CostGuard guard;
///     auto before = cgctl::mitigation::observe(*host, guard, policy);
///     auto plan = cgctl::mitigation::decide(*before, {}, policy, cgctl::mitigation::uptime());
///     if (plan.decision == Decision::act) auto outcome = cgctl::mitigation::carry_out(*host,
///     guard, plan, policy, *before);
///
/// A program that mitigates repeatedly keeps a History in a Store.
namespace cgctl::mitigation {

/// Returns CLOCK_BOOTTIME, which also counts while the machine sleeps.
std::chrono::seconds uptime() noexcept;

/// Returns the bytes in the machine's page cache without tmpfs and shared memory, which dropping
/// caches cannot free; 0 if /proc/vmstat lacks the figure.
[[nodiscard]] Result<std::uint64_t> page_cache(const Host& host);

/// Estimates the kernel memory of `zombies` removed memory cgroups, in bytes: 12 KiB each and 2 KiB
/// for each possible CPU (measured on Linux 6.18: 12.7 KiB of slab and 4.3 KiB of per-CPU memory
/// with 2 CPUs). The pages that keep them are not included.
[[nodiscard]] Result<std::uint64_t> kernel_memory(const Host& host, std::uint64_t zombies);

/// Returns the machine's memory in bytes (MemTotal of /proc/meminfo); 0 without that file.
[[nodiscard]] Result<std::uint64_t> total_memory(const Host& host);

/// Returns the bytes of swap that are free (SwapFree of /proc/meminfo); 0 without that file.
[[nodiscard]] Result<std::uint64_t> free_swap(const Host& host);

/// Returns the number of file pages that were read again soon after their eviction, since boot
/// (/proc/vmstat workingset_refault_file, before Linux 5.9 workingset_refault); nothing if the
/// kernel has neither. Its growth after a mitigation shows how much dropped cache was still needed.
[[nodiscard]] Result<std::optional<std::uint64_t>> refaults(const Host& host);

/// The purpose of an observation.
enum class Intent {
  look,  ///< change nothing
  act,   ///< on v2, if there are enough zombies to act, make a cgroup briefly to test
         ///< whether pages keep zombies (Observation::pages_reparented)
};

/// Keeps `error` as the reason why a figure is missing, unless the kernel does not have the figure
/// (ENOENT, errc::unsupported).
void note_missing(std::vector<Error>& unread, const Error& error);

/// Observes the machine. Takes one count, one attribution (by memory.stat unless there is a reason
/// to act), and a tenth of a second to measure the disks' load. The cost of reading the root's
/// numa_stat is measured by a few cheap reads or a single expensive one. It is predicted without a
/// read if `history` has a probe younger than Policy::probe_interval, or if the prediction is above
/// ten times Policy::read_cost_limit. With a `counter` the count costs only what changed since the
/// counter's last one.
[[nodiscard]] Result<Observation> observe(const Host& host, numa::CostGuard& guard,
                                          const Policy& policy, const History& history = {},
                                          Intent intent = Intent::look,
                                          zombies::Counter* counter = nullptr);

struct Outcome {
  std::vector<Action> actions;
  Observation after;
  Effect effect = Effect::none;
  std::string explanation;  ///< if ineffective: why zombies are left
  /// The last rung's error if every rung failed (EACCES: not root), else the error of the
  /// observation that follows them. An action whose effect cannot be observed counts as
  /// ineffective.
  Status status = {};
};

/// Climbs the plan's ladder, rung by rung, as long as climb_on() is true. Blocks for seconds. Ends
/// early with End::cancelled once the descriptor `stop` becomes readable. An error means that no
/// rung was tried; later errors are in the Outcome.
///
/// Each rung runs in a child process, so that a deadline can end the wait for a write to
/// drop_caches, which cannot be interrupted. The child dies with the calling thread and makes
/// system calls only, so that a multi-threaded program may call this function. A child still inside
/// an uninterruptible system call at the deadline is left to the caller to wait for (waitpid(2)).
///
/// The zombies are counted for a second before the first rung, to learn how fast new ones appear,
/// and after each rung until their number has stopped falling.
[[nodiscard]] Result<Outcome> carry_out(const Host& host, numa::CostGuard& guard, const Plan& plan,
                                        const Policy& policy, const Observation& before,
                                        int stop = -1);

/// Writes one level to drop_caches, without counting zombies. Returns the time taken;
/// errc::timed_out if the deadline passed.
[[nodiscard]] Result<std::chrono::nanoseconds> drop_caches(const Host& host, Rung rung,
                                                           std::chrono::nanoseconds deadline);

/// Keeps the lock against a second instance and the history between runs: two small files in a
/// directory of their own (such as /var/lib/cgctl). The history file is replaced atomically. After
/// a reboot, load() forgets the history that depends on the running kernel and translates times by
/// the wall clock, so that the limit of actions a day still holds. A history file that was altered,
/// lies in the future, is longer than 256 KiB or is no regular file is renamed and counts as empty.
class Store {
 public:
  /// Makes the directory and its missing parents, and takes the lock. errc::busy if another
  /// instance holds the lock.
  [[nodiscard]] static Result<Store> open(const Host& host, const std::string& directory);
  /// Returns the history for a dry run: takes no lock and makes nothing. Empty if there is none.
  [[nodiscard]] static Result<History> peek(const Host& host, const std::string& directory);

  [[nodiscard]] Result<History> load() const;
  [[nodiscard]] Status save(const History& history) const;

  /// Returns the warning of load(), set if it renamed a history file that it could not use.
  [[nodiscard]] const std::string& warning() const noexcept { return warning_; }

 private:
  Store(std::string directory, UniqueFd lock, std::string boot_id) noexcept;

  std::string directory_;
  UniqueFd lock_;
  std::string boot_id_;
  mutable std::string warning_;
};

}  // namespace cgctl::mitigation
