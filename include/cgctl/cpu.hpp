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

/// CPU time of a cgroup: its limit, its share when others want the same CPU, and its usage
/// (scheduler/sched-bwc.rst, scheduler/sched-rt-group.rst, cgroup-v2.rst).
namespace cgctl::cpu {

using std::chrono::microseconds;
using std::chrono::nanoseconds;

// ---- limits ----

inline constexpr microseconds default_period{100000};

/// The CPU limit of a cgroup: it may use `quota` of CPU time in each `period`. 50 ms of 100 ms is
/// half a CPU, 200 ms of 100 ms two CPUs. The kernel accepts periods from 1 ms to 1 s and quotas of
/// 1 ms and more; on v1 no cgroup may have more than its parent.
struct Bandwidth {
  std::optional<microseconds> quota;  ///< absent: no limit
  microseconds period = default_period;
  /// Unused time that may be saved up for later, at most the quota (Linux 5.14, commit
  /// f4183717b370). Absent: left unchanged, or not supported by the kernel.
  std::optional<microseconds> burst = {};

  /// Returns a limit of `count` CPUs, 0.001 or more. If the quota would be below the kernel's
  /// minimum of 1 ms, the period is lengthened.
  static Bandwidth cpus(double count, microseconds period = default_period) noexcept;
  static Bandwidth none() noexcept { return {}; }
  /// Returns quota / period; nothing if there is no limit.
  [[nodiscard]] std::optional<double> cpus() const noexcept;
};

/// The budget of real-time tasks (SCHED_FIFO, SCHED_RR): they may use `runtime` in each `period`.
/// With a runtime of 0, the value of a new cgroup, the cgroup cannot hold real-time tasks. v1 only,
/// on kernels with CONFIG_RT_GROUP_SCHED.
struct RealTime {
  microseconds runtime;
  microseconds period;
};

/// The range of real-time budgets that a cgroup's parent, siblings and children allow: runtime /
/// period in units of 2^-20 CPU, as the kernel compares them (to_ratio() in kernel/sched/core.c).
struct RealTimeRoom {
  std::int64_t least = 0;                     ///< sum of the children's budgets
  std::int64_t most = std::int64_t{1} << 20;  ///< the parent's budget less the siblings'
};

// ---- shares and weights ----

/// v1 cpu.shares: 2 to 262144, 1024 in a new cgroup. The kernel clamps other values without an
/// error.
struct Shares {
  std::uint64_t value;
};

/// v2 cpu.weight: 1 to 10000, 100 in a new cgroup. The kernel refuses other values with ERANGE.
struct Weight {
  std::uint64_t value;
};

/// How shares are converted to a weight. All four formulas are in use: a container's weight depends
/// on the program that converts.
enum class Conversion {
  kernel,   ///< weight = round(shares * 100 / 1024): the defaults match and ratios stay the same
  systemd,  ///< like kernel, rounded down
  oci2020,  ///< 1 + (shares - 2) * 9999 / 262142: linear over the ranges, 1024 becomes 39
  oci2025,  ///< runc, crun and youki since 2025: quadratic in log2, ranges and defaults match
};

/// The kernel's formula: reversible, and it keeps the ratio between two cgroups, which is the
/// purpose of shares.
inline constexpr Conversion default_conversion = Conversion::kernel;

std::string_view to_string(Conversion conversion) noexcept;
/// Returns the conversion of that name; nothing if there is none.
std::optional<Conversion> conversion_named(std::string_view name) noexcept;

/// Returns a weight of 1 to 10000. Both OCI formulas treat 0 shares as "not set" and return weight
/// 0.
Weight to_weight(Shares shares, Conversion conversion = default_conversion) noexcept;
/// Returns shares of 2 to 262144. OCI defines only the way from shares to weight; for its two
/// formulas this returns the smallest shares that convert to at least `weight`.
Shares to_shares(Weight weight, Conversion conversion = default_conversion) noexcept;

// ---- reading and changing limits and weights ----

/// The CPU settings of a cgroup, read from its files. Values that its version or kernel lacks are
/// absent.
struct State {
  Version version = Version::v1;
  std::optional<Bandwidth> bandwidth;  ///< absent in the root of v2
  std::optional<Shares> shares;        ///< v1
  std::optional<Weight> weight;        ///< v2
  std::optional<int> nice;  ///< v2 cpu.weight.nice, -20 to 19: the nice value nearest to the weight
  std::optional<bool> idle;  ///< SCHED_IDLE for the whole cgroup (Linux 5.15, 304000390f88)
  std::optional<RealTime> real_time;  ///< v1
  /// The range that `real_time` may take while its two parts change: the kernel takes them one by
  /// one. Only Controller::plan() and set() read this range, and only when both parts change.
  RealTimeRoom real_time_room = {};
  /// True if there are cgroups below, whose limits must also remain valid during a change.
  bool has_children = false;
};

/// A CPU quota, or no limit.
struct Quota {
  std::optional<microseconds> limit;
};

/// The changes wanted; absent values stay unchanged.
struct Change {
  std::optional<Quota> quota;
  /// The quota in CPUs, for the wanted or else the current period. If no period is wanted, the
  /// period is lengthened if the quota would otherwise be below 1 ms; a period lengthened before
  /// becomes 100 ms again if that is enough.
  std::optional<double> cpus;
  std::optional<microseconds> period;
  std::optional<microseconds> burst;
  std::optional<Shares> shares;  ///< shares or weight, not both; converted to the version's own
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

/// Returns the writes that turn `now` into `wanted`, in an order in which each write is valid.
/// Quota and period are two files on v1: as far as the cgroups below allow, no state in between
/// allows more CPU time than both the old and the new setting. errc::invalid_argument if the
/// changes contradict each other or the state, errc::unsupported for settings that the version or
/// the kernel does not have.
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

  /// Reads the settings. errc::unsupported if the host has no cpu controller.
  [[nodiscard]] Result<State> state() const;
  /// Returns the writes of plan() for this cgroup, for a caller that applies them together with
  /// other settings.
  [[nodiscard]] Result<std::vector<settings::Setting>> plan(const Change& wanted) const;
  /// Applies all changes or none, and reads them back: see settings::apply(). The error names the
  /// rule that the kernel found broken: the range, the limit of a cgroup above or below, the budget
  /// of real-time tasks.
  [[nodiscard]] Result<std::vector<settings::Written>> set(const Change& wanted) const;
  [[nodiscard]] Result<std::vector<settings::Written>> set(const Bandwidth& wanted) const;
  [[nodiscard]] Result<std::vector<settings::Written>> set_weight(
      Shares shares, Conversion conversion = default_conversion) const;
  [[nodiscard]] Result<std::vector<settings::Written>> set_weight(
      Weight weight, Conversion conversion = default_conversion) const;
  /// Adds the broken rule to an error that settings::apply() returned for a plan of this
  /// controller.
  [[nodiscard]] Error explain(Error error, const Change& wanted) const;

  /// Reads the usage once: see cpu::stat(). To read repeatedly, keep a StatReader.
  [[nodiscard]] Result<Stat> stat() const;

 private:
  const Group* group_;
};

// ---- usage ----

/// CPU usage since the cgroup was made. Values that its version or kernel lacks are absent.
struct Stat {
  std::optional<nanoseconds> usage;   ///< CPU time of the cgroup and all below; on v1 from cpuacct
  std::optional<nanoseconds> user;    ///< part of `usage` in user mode
  std::optional<nanoseconds> system;  ///< part of `usage` in the kernel
  /// Periods in which a limited cgroup had something to run.
  std::optional<std::uint64_t> nr_periods;
  std::optional<std::uint64_t> nr_throttled;  ///< periods in which its quota ran out
  std::optional<nanoseconds> throttled;       ///< time spent waiting for quota, summed over CPUs
  std::optional<std::uint64_t> nr_bursts;     ///< periods in which it used more than its quota
  std::optional<nanoseconds> burst;           ///< time used above the quota
  std::uint32_t skipped_lines = 0;            ///< known keys left out because no number followed
};

/// Parses a `cpu.stat`, in nanoseconds on v1 and microseconds on v2. Unknown keys are ignored; a
/// known key without a number is skipped and counted. errc::truncated if the text is empty or ends
/// inside a line, errc::malformed if no known key has a number.
[[nodiscard]] Status parse(std::string_view text, Version version, Stat& out);

/// Reads a cgroup's CPU figures through kept descriptors: one pread(2) for each file (one file on
/// v2, up to four on v1). Reading allocates nothing.
class StatReader {
 public:
  /// Opens the cgroup's cpu.stat; on v1, if the host has cpuacct, also cpuacct.usage,
  /// cpuacct.usage_user and cpuacct.usage_sys (before Linux 4.7 cpuacct.stat, in ticks).
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

/// Reads a cgroup's CPU usage once.
[[nodiscard]] Result<Stat> stat(const Group& group);

/// Returns the CPU time used on each possible CPU, indexed by CPU number: v1 cpuacct.usage_percpu.
/// errc::unsupported on v2, which has no such figures.
[[nodiscard]] Result<std::vector<nanoseconds>> usage_per_cpu(const Group& group);

/// CPU use between two reads.
struct Rates {
  std::optional<double> cpus;               ///< CPUs used, on average
  std::optional<double> percent_of_limit;   ///< absent without a limit
  std::optional<double> percent_throttled;  ///< share of periods in which the quota ran out; absent
                                            ///< if no period passed
};

Rates rates(const Stat& before, const Stat& after, nanoseconds elapsed,
            const std::optional<Bandwidth>& limit) noexcept;

}  // namespace cgctl::cpu
