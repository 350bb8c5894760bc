// SPDX-FileCopyrightText: The cgctl authors
// SPDX-License-Identifier: MIT
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <vector>

#include "cgctl/error.hpp"
#include "cgctl/group.hpp"
#include "cgctl/host.hpp"
#include "cgctl/settings.hpp"

/// Memory of a cgroup: limits, protection, usage and reclaim (cgroup-v1/memory.rst, cgroup-v2.rst).
/// Figures: cgctl/memory_stat.hpp; waiting for events: cgctl/memory_events.hpp.
namespace cgctl::memory {

/// A limit in bytes, or no limit. The kernel rounds it down to whole pages.
struct Limit {
  std::optional<std::uint64_t> bytes;

  friend bool operator==(const Limit& a, const Limit& b) noexcept { return a.bytes == b.bytes; }
  friend bool operator!=(const Limit& a, const Limit& b) noexcept { return !(a == b); }
};

/// The memory settings and usage of a cgroup, read from its files. Values that its version or
/// kernel lacks, or that the root does not have, are absent.
struct State {
  Version version = Version::v1;
  std::optional<std::uint64_t> usage;  ///< bytes, of the cgroup and all below
  /// Highest usage ever; on v1 since its last reset (v2: Linux 5.19).
  std::optional<std::uint64_t> peak;
  std::optional<Limit> max;                 ///< above it: reclaim, then OOM kills
  std::optional<Limit> high;                ///< v2; above it: reclaim and throttling
  std::optional<Limit> low;                 ///< v2; below it: reclaimed only if nothing else can be
  std::optional<Limit> min;                 ///< v2; below it: never reclaimed
  std::optional<Limit> soft_limit;          ///< v1; above it: reclaimed first when memory is short
  std::optional<std::uint64_t> swap_usage;  ///< v2
  std::optional<Limit> swap_max;            ///< v2
  std::optional<Limit> swap_high;           ///< v2
  std::optional<std::uint64_t> memsw_usage;  ///< v1: memory and swap together, if accounted
  std::optional<Limit> memsw_max;            ///< v1
  std::optional<std::uint64_t> swappiness;   ///< v1, 0 to 100, to 200 since Linux 5.8
  std::optional<std::uint64_t> failcnt;      ///< v1: number of times the limit was hit
  std::optional<bool> oom_group;  ///< v2: an OOM kill ends every process of the cgroup (Linux 4.19)
  std::optional<bool> oom_kill;   ///< v1; false: tasks wait at the limit instead of being killed
  std::optional<bool> under_oom;  ///< v1: tasks are waiting at the limit
};

/// The changes wanted; absent values stay unchanged.
struct Change {
  std::optional<Limit> max;
  std::optional<Limit> high;
  std::optional<Limit> low;
  std::optional<Limit> min;
  std::optional<Limit> soft_limit;
  /// Limit of swap alone. v1 can only limit memory and swap together: there this limit plus the
  /// memory limit is set.
  std::optional<Limit> swap_max;
  /// Limit of memory and swap together. v2 can only limit swap alone: there this limit less the
  /// memory limit is set.
  std::optional<Limit> memsw_max;
  std::optional<Limit> swap_high;
  std::optional<std::uint64_t> swappiness;
  std::optional<bool> oom_group;
  std::optional<bool> oom_kill;

  [[nodiscard]] bool empty() const noexcept {
    return !max && !high && !low && !min && !soft_limit && !swap_max && !memsw_max && !swap_high &&
           !swappiness && !oom_group && !oom_kill;
  }
};

/// Returns the writes that turn `now` into `wanted`, in an order in which each write is valid: on
/// v1 the limit of memory and swap together is never below the memory limit. errc::invalid_argument
/// if the changes contradict each other or the state, errc::unsupported for settings that the
/// version or the kernel does not have.
[[nodiscard]] Result<std::vector<settings::Setting>> plan(const State& now, const Change& wanted);

/// The result of a reclaim.
struct Reclaimed {
  std::uint64_t before = 0;  ///< bytes in use before the reclaim
  std::uint64_t after = 0;   ///< bytes in use after it
  bool complete = true;      ///< false: the kernel reclaimed less than was asked for (EAGAIN)
};

/// Actions that change no setting: the functions of Controller with these names.
enum class Action { reclaim, force_empty, reset_peak, reset_failcnt };

/// The memory controller of one cgroup, v1 or v2, whichever has it. `group` must outlive it.
class Controller {
 public:
  explicit Controller(const Group& group) noexcept : group_(&group) {}
  explicit Controller(const Group&& group) = delete;

  /// Reads the settings and the usage. errc::unsupported if the host has no memory controller.
  [[nodiscard]] Result<State> state() const;
  /// Returns the writes of plan() for this cgroup, for a caller that applies them together with
  /// other settings.
  [[nodiscard]] Result<std::vector<settings::Setting>> plan(const Change& wanted) const;
  /// Applies all changes or none, and reads them back: see settings::apply(). A limit below the
  /// current usage makes the kernel reclaim first. If it cannot reclaim enough, v1 fails with EBUSY
  /// (the error names the usage); on v2 memory.max causes OOM kills: lower memory.high first.
  [[nodiscard]] Result<std::vector<settings::Written>> set(const Change& wanted) const;
  /// Adds the broken rule to an error that settings::apply() returned for a plan of this
  /// controller.
  [[nodiscard]] Error explain(Error error) const;

  /// Checks, without doing it, that the cgroup supports the action. Fails with errc::unsupported,
  /// naming an alternative, or with the kernel's reason.
  [[nodiscard]] Status check(Action action) const;
  /// Asks the kernel to reclaim `bytes` from the cgroup and all below: v2 memory.reclaim (Linux
  /// 5.19). errc::unsupported elsewhere.
  [[nodiscard]] Result<Reclaimed> reclaim(std::uint64_t bytes) const;
  /// Reclaims as much as possible: v1 memory.force_empty. It drops page cache and swaps the tasks'
  /// memory out; meant for a cgroup about to be removed. errc::unsupported on v2.
  [[nodiscard]] Result<Reclaimed> force_empty() const;

  /// Resets the peak to the current usage, for every reader (v1). On v2 see memory::Peak.
  [[nodiscard]] Status reset_peak() const;
  /// Resets failcnt to 0 (v1).
  [[nodiscard]] Status reset_failcnt() const;

 private:
  [[nodiscard]] Result<std::uint64_t> usage() const;
  [[nodiscard]] Result<Reclaimed> give_back(Action action, const std::string& text) const;
  [[nodiscard]] Status act(Action action, const std::string& text) const;

  const Group* group_;
};

}  // namespace cgctl::memory
