// SPDX-FileCopyrightText: The cgctl authors
// SPDX-License-Identifier: MIT
#pragma once

#include <chrono>
#include <cstdint>
#include <optional>
#include <string_view>
#include <vector>

#include "cgctl/error.hpp"
#include "cgctl/group.hpp"
#include "cgctl/host.hpp"
#include "cgctl/settings.hpp"
#include "cgctl/unique_fd.hpp"

/// CPU time of a cgroup: how much it may use, its share when others want the same CPU, and what it
/// has used (scheduler/sched-bwc.rst, scheduler/sched-rt-group.rst, cgroup-v2.rst).
namespace cgctl::cpu {

using std::chrono::microseconds;
using std::chrono::nanoseconds;

// ---- how much it may use ----

inline constexpr microseconds default_period{100000};

/// A cgroup may use `quota` of CPU time in each `period`: 50 ms of 100 ms is half of one CPU,
/// 200 ms of 100 ms two CPUs. The kernel takes periods of 1 ms to 1 s and quotas from 1 ms on; on
/// v1 no cgroup may have more than the one above it.
struct Bandwidth {
  std::optional<microseconds> quota;  ///< nothing: no limit
  microseconds period = default_period;
  /// Unused time that may be saved up for later, at most the quota (Linux 5.14, commit
  /// f4183717b370); nothing: left as it is, or the kernel has none.
  std::optional<microseconds> burst = {};

  /// `count` CPUs, 0.001 and up. Where the period is too short for so little, a longer one.
  static Bandwidth cpus(double count, microseconds period = default_period) noexcept;
  static Bandwidth none() noexcept { return {}; }
  /// quota / period; nothing: no limit.
  [[nodiscard]] std::optional<double> cpus() const noexcept;
};

/// Real-time tasks (SCHED_FIFO, SCHED_RR) may use `runtime` in each `period`; with 0, as in a new
/// cgroup, there can be none in it. v1 only, where the kernel has CONFIG_RT_GROUP_SCHED.
struct RealTime {
  microseconds runtime;
  microseconds period;
};

/// What the cgroups around one leave it of real-time budgets: runtime / period in 2^-20 of a CPU,
/// as the kernel compares them (to_ratio() in kernel/sched/core.c).
struct RealTimeRoom {
  std::int64_t least = 0;                     ///< what those directly below have together
  std::int64_t most = std::int64_t{1} << 20;  ///< of the one above, what those beside it leave
};

// ---- its share ----

/// v1 cpu.shares, 2 to 262144, 1024 in a new cgroup. The kernel clamps without an error.
struct Shares {
  std::uint64_t value;
};

/// v2 cpu.weight, 1 to 10000, 100 in a new cgroup. ERANGE outside.
struct Weight {
  std::uint64_t value;
};

/// How shares become a weight. All four are in use; a container's figure depends on who converts.
enum class Conversion {
  kernel,   ///< weight = round(shares * 100 / 1024): the defaults match and ratios stay the same
  systemd,  ///< the same, cut off instead of rounded
  oci2020,  ///< 1 + (shares - 2) * 9999 / 262142: linear over the ranges, 1024 becomes 39
  oci2025,  ///< runc, crun and youki since 2025: quadratic in log2, ranges and defaults match
};

/// Reversible and keeps the ratio between two cgroups, which is what shares are for.
inline constexpr Conversion default_conversion = Conversion::kernel;

std::string_view to_string(Conversion conversion) noexcept;
/// By its name; nothing for another word.
std::optional<Conversion> conversion_named(std::string_view name) noexcept;

/// 1 to 10000. Both of OCI take 0 shares for "not set": the weight is then 0 as well.
Weight to_weight(Shares shares, Conversion conversion = default_conversion) noexcept;
/// 2 to 262144. For both of OCI, which say only how to get a weight: the least shares that become
/// at least this weight.
Shares to_shares(Weight weight, Conversion conversion = default_conversion) noexcept;

// ---- reading and changing both ----

/// What a cgroup's files say. What its version or kernel lacks is absent.
struct State {
  Version version = Version::v1;
  std::optional<Bandwidth> bandwidth;  ///< absent in the root of v2
  std::optional<Shares> shares;        ///< v1
  std::optional<Weight> weight;        ///< v2
  std::optional<int> nice;             ///< v2 cpu.weight.nice, -20 to 19: near the weight
  std::optional<bool> idle;            ///< SCHED_IDLE for all of it (Linux 5.15, 304000390f88)
  std::optional<RealTime> real_time;   ///< v1
  /// For a change of both parts of `real_time`, which the kernel takes one by one. Only
  /// Controller::plan() and set() read it, where they need it.
  RealTimeRoom real_time_room = {};
  /// There are cgroups below: their limits too must hold while this one's change.
  bool has_children = false;
};

/// A quota, or none.
struct Quota {
  std::optional<microseconds> limit;
};

/// What is to be changed; the rest stays as it is.
struct Change {
  std::optional<Quota> quota;
  /// A quota of so many CPUs, of the period wanted or there already. Unless a period is wanted, it
  /// is lengthened where the quota would be below 1 ms, and is 100 ms again where that is enough.
  std::optional<double> cpus;
  std::optional<microseconds> period;
  std::optional<microseconds> burst;
  std::optional<Shares> shares;  ///< or weight, not both; converted to what the version has
  std::optional<Weight> weight;
  Conversion conversion = default_conversion;
  std::optional<int> nice;
  std::optional<bool> idle;
  std::optional<microseconds> rt_runtime;
  std::optional<microseconds> rt_period;

  [[nodiscard]] bool empty() const noexcept {
    return !quota && !cpus && !period && !burst && !shares && !weight && !nice && !idle &&
           !rt_runtime && !rt_period;
  }
};

Change change_to(const Bandwidth& bandwidth);

/// The writes that turn `now` into what is wanted, in an order in which each is valid and in which
/// none but the last gives more time than both, as far as the cgroups below allow: quota and period
/// are two files on v1. errc::invalid_argument for wishes that contradict each other or the state,
/// errc::unsupported for what the version or the kernel does not have.
[[nodiscard]] Result<std::vector<settings::Setting>> plan(const State& now, const Change& wanted);

struct Stat;

/// The cpu controller of one cgroup, v1 or v2, whichever has it. `group` must outlive it.
///
///     cgctl::cpu::Controller cpu{*group};
///     auto written = cpu.set(cgctl::cpu::Bandwidth::cpus(0.5));
class Controller {
 public:
  explicit Controller(const Group& group) noexcept : group_(&group) {}
  explicit Controller(const Group&& group) = delete;

  /// errc::unsupported where the host has no cpu controller.
  [[nodiscard]] Result<State> state() const;
  /// plan() for this cgroup, to be applied together with other settings of it.
  [[nodiscard]] Result<std::vector<settings::Setting>> plan(const Change& wanted) const;
  /// All or none, read back: see settings::apply(). Says the rule that the kernel found broken:
  /// the range, the limit of a cgroup above or below, the budget of real-time tasks.
  [[nodiscard]] Result<std::vector<settings::Written>> set(const Change& wanted) const;
  [[nodiscard]] Result<std::vector<settings::Written>> set(const Bandwidth& wanted) const;
  [[nodiscard]] Result<std::vector<settings::Written>> set_weight(
      Shares shares, Conversion conversion = default_conversion) const;
  [[nodiscard]] Result<std::vector<settings::Written>> set_weight(
      Weight weight, Conversion conversion = default_conversion) const;
  /// The rule behind an error of settings::apply() on a plan of this controller.
  [[nodiscard]] Error explain(Error error, const Change& wanted) const;

  /// What it has used, one read: see cpu::stat(). For samples keep a StatReader.
  [[nodiscard]] Result<Stat> stat() const;

 private:
  const Group* group_;
};

// ---- what it has used ----

/// Since the cgroup was made. What the version or kernel lacks is absent.
struct Stat {
  std::optional<nanoseconds> usage;  ///< CPU time of it and all below; v1: cpuacct's
  std::optional<nanoseconds> user;   ///< of that, in user mode
  std::optional<nanoseconds> system;
  std::optional<std::uint64_t> nr_periods;    ///< in which it was limited and had something to run
  std::optional<std::uint64_t> nr_throttled;  ///< of those, in which its quota ran out
  std::optional<nanoseconds> throttled;       ///< waited so, summed over CPUs
  std::optional<std::uint64_t> nr_bursts;     ///< in which it used more than its quota
  std::optional<nanoseconds> burst;           ///< time used above the quota
  std::uint32_t skipped_lines = 0;            ///< of these figures, left out for want of a number
};

/// Parses a `cpu.stat` of that version: nanoseconds on v1, microseconds on v2. Keys of other names
/// are passed over; a known key without a number is skipped and counted. errc::truncated when the
/// text is empty or ends inside a line, errc::malformed when only such keys are there.
[[nodiscard]] Status parse(std::string_view text, Version version, Stat& out);

/// Reads a cgroup's CPU figures through kept descriptors: one pread(2) a file, one file on v2, up
/// to four on v1; allocates nothing.
class StatReader {
 public:
  /// v1: cpu.stat, and cpuacct.usage, cpuacct.usage_user, cpuacct.usage_sys (before Linux 4.7
  /// cpuacct.stat, in ticks) where the host has cpuacct.
  [[nodiscard]] static Result<StatReader> open(const Group& group);
  /// errc::vanished once the cgroup is removed.
  [[nodiscard]] Status read(Stat& out) const;

 private:
  StatReader() = default;
  [[nodiscard]] Status read_cpuacct(Stat& out) const;

  Version version_ = Version::v1;
  UniqueFd stat_;
  UniqueFd usage_;
  UniqueFd user_;
  UniqueFd system_;
  UniqueFd ticks_;
};

/// One read.
[[nodiscard]] Result<Stat> stat(const Group& group);

/// CPU time by CPU number, of the CPUs that are possible: v1 cpuacct.usage_percpu.
/// errc::unsupported on v2, which has no such figures.
[[nodiscard]] Result<std::vector<nanoseconds>> usage_per_cpu(const Group& group);

/// What happened between two reads.
struct Rates {
  std::optional<double> cpus;               ///< CPUs used, on average
  std::optional<double> percent_of_limit;   ///< absent without a limit
  std::optional<double> percent_throttled;  ///< periods in which the quota ran out; absent without
                                            ///< a period in between
};

Rates rates(const Stat& before, const Stat& after, nanoseconds elapsed,
            const std::optional<Bandwidth>& limit) noexcept;

}  // namespace cgctl::cpu
