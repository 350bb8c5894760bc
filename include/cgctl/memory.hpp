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

/// Memory of a cgroup: limits, protection, what is in use, and giving it back
/// (cgroup-v1/memory.rst, cgroup-v2.rst). Figures: cgctl/memory_stat.hpp; waiting for events:
/// cgctl/memory_events.hpp.
namespace cgctl::memory {

/// A number of bytes, or none. The kernel rounds it down to whole pages.
struct Limit {
  std::optional<std::uint64_t> bytes;

  friend bool operator==(const Limit& a, const Limit& b) noexcept { return a.bytes == b.bytes; }
  friend bool operator!=(const Limit& a, const Limit& b) noexcept { return !(a == b); }
};

/// What a cgroup's files say. What its version or kernel lacks, or the root does not have, is
/// absent.
struct State {
  Version version = Version::v1;
  std::optional<std::uint64_t> usage;  ///< bytes, of it and all below
  std::optional<std::uint64_t> peak;   ///< most there ever was, or since v1's was reset (v2: 5.19)
  std::optional<Limit> max;            ///< beyond it: reclaim, then OOM kills
  std::optional<Limit> high;           ///< v2; beyond it: reclaim and slowed down
  std::optional<Limit> low;            ///< v2; below it: reclaimed only if nothing else is left
  std::optional<Limit> min;            ///< v2; below it: never reclaimed
  std::optional<Limit> soft_limit;     ///< v1; beyond it: reclaimed first when memory is short
  std::optional<std::uint64_t> swap_usage;   ///< v2
  std::optional<Limit> swap_max;             ///< v2
  std::optional<Limit> swap_high;            ///< v2
  std::optional<std::uint64_t> memsw_usage;  ///< v1: memory and swap together, where accounted
  std::optional<Limit> memsw_max;            ///< v1
  std::optional<std::uint64_t> swappiness;   ///< v1, 0 to 100, to 200 since Linux 5.8
  std::optional<std::uint64_t> failcnt;      ///< v1: how often the limit was hit
  std::optional<bool> oom_group;  ///< v2: an OOM kill takes all of the cgroup (Linux 4.19)
  std::optional<bool> oom_kill;   ///< v1: false: tasks wait at the limit instead of being killed
  std::optional<bool> under_oom;  ///< v1: tasks are waiting so
};

/// What is to be changed; the rest stays as it is.
struct Change {
  std::optional<Limit> max;
  std::optional<Limit> high;
  std::optional<Limit> low;
  std::optional<Limit> min;
  std::optional<Limit> soft_limit;
  /// Of swap alone. v1 limits memory and swap together: there it is added to the memory limit.
  std::optional<Limit> swap_max;
  /// Of memory and swap together. v2 limits swap alone: there the memory limit is taken from it.
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

/// The writes that turn `now` into what is wanted, in an order in which each is valid: on v1 the
/// limit of memory and swap together is never below that of memory. errc::invalid_argument for
/// wishes that contradict each other or the state, errc::unsupported for what the version or the
/// kernel does not have.
[[nodiscard]] Result<std::vector<settings::Setting>> plan(const State& now, const Change& wanted);

/// What became of an attempt to give memory back.
struct Reclaimed {
  std::uint64_t before = 0;  ///< bytes in use
  std::uint64_t after = 0;
  bool complete = true;  ///< false: the kernel found less than was asked for (EAGAIN)
};

/// What is done at once and sets nothing: the functions of Controller with these names.
enum class Action { reclaim, force_empty, reset_peak, reset_failcnt };

/// The memory controller of one cgroup, v1 or v2, whichever has it. `group` must outlive it.
class Controller {
 public:
  explicit Controller(const Group& group) noexcept : group_(&group) {}
  explicit Controller(const Group&& group) = delete;

  /// errc::unsupported where the host has no memory controller.
  [[nodiscard]] Result<State> state() const;
  /// plan() for this cgroup, to be applied together with other settings of it.
  [[nodiscard]] Result<std::vector<settings::Setting>> plan(const Change& wanted) const;
  /// All or none, read back: see settings::apply(). On v1 a limit below what is in use reclaims
  /// first, and is EBUSY, with the usage named, when that cannot be reclaimed; on v2 memory.max
  /// then ends processes by OOM kills: lower memory.high first.
  [[nodiscard]] Result<std::vector<settings::Written>> set(const Change& wanted) const;
  /// The rule behind an error of settings::apply() on a plan of this controller.
  [[nodiscard]] Error explain(Error error) const;

  /// Whether the cgroup takes that, with nothing done: errc::unsupported, and what it has instead,
  /// or the kernel's reason.
  [[nodiscard]] Status check(Action action) const;
  /// Asks the kernel to take `bytes` back from it and all below: v2 memory.reclaim (Linux 5.19).
  /// errc::unsupported elsewhere.
  [[nodiscard]] Result<Reclaimed> reclaim(std::uint64_t bytes) const;
  /// Takes back all that can be: v1 memory.force_empty. Its page cache is dropped, its tasks'
  /// memory swapped out: meant for a cgroup about to be removed. errc::unsupported on v2.
  [[nodiscard]] Result<Reclaimed> force_empty() const;

  /// v1: the peak counts from now on, for every reader. On v2 see memory::Peak.
  [[nodiscard]] Status reset_peak() const;
  /// v1: failcnt counts from 0.
  [[nodiscard]] Status reset_failcnt() const;

 private:
  [[nodiscard]] Result<std::uint64_t> usage() const;
  [[nodiscard]] Result<Reclaimed> give_back(Action action, const std::string& text) const;
  [[nodiscard]] Status act(Action action, const std::string& text) const;

  const Group* group_;
};

}  // namespace cgctl::memory
