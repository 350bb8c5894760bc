// SPDX-FileCopyrightText: The cgctl authors
// SPDX-License-Identifier: MIT
#include "cpu/plan.hpp"

#include <algorithm>
#include <cmath>
#include <iterator>
#include <string>
#include <utility>

namespace cgctl::cpu {
namespace {

using settings::Setting;
using Settings = std::vector<Setting>;

constexpr const char* no_limit_v1 = "-1";

std::string text(microseconds time) { return std::to_string(time.count()); }

std::string text(const std::optional<microseconds>& quota, const char* none) {
  return quota ? text(*quota) : none;
}

tl::unexpected<Error> contradiction(std::string reason, std::string hint) {
  return fail(Error::make(errc::invalid_argument, "set", {}, std::move(reason), std::move(hint)));
}

tl::unexpected<Error> lacking(std::string reason, std::string hint) {
  return fail(Error::make(errc::unsupported, "set", {}, std::move(reason), std::move(hint)));
}

/// The order of writes if two values that depend on each other, in two files, both change.
enum class Order { value_first, period_first, unlimited_between };

/// Chooses the order. After the first of the two writes, the cgroup has either less CPU time than
/// before and after, which the limits of cgroups below may forbid, or more, which the limit of the
/// cgroup above may forbid.
Order bandwidth_order(const Bandwidth& now, const Bandwidth& next, bool has_children) {
  if (!next.quota) return Order::value_first;
  if (!now.quota) return Order::period_first;
  const bool both_grow = *next.quota > *now.quota && next.period > now.period;
  const bool both_shrink = *next.quota < *now.quota && next.period < now.period;
  // A cgroup without a limit has its parent's, which all cgroups below already satisfy.
  if (has_children && (both_grow || both_shrink)) return Order::unlimited_between;
  return both_grow ? Order::period_first : Order::value_first;
}

void add_bandwidth_v1(const Bandwidth& now, const Bandwidth& next, const Change& wanted,
                      bool has_children, Settings& out) {
  const bool write_quota = wanted.quota || wanted.cpus;
  const bool write_period = wanted.period || next.period != now.period;
  Setting quota{"cpu.cfs_quota_us", text(next.quota, no_limit_v1)};
  Setting period{"cpu.cfs_period_us", text(next.period)};
  if (!write_period) {
    if (write_quota) out.push_back(std::move(quota));
    return;
  }
  if (!write_quota) {
    out.push_back(std::move(period));
    return;
  }
  switch (bandwidth_order(now, next, has_children)) {
    case Order::value_first:
      out.push_back(std::move(quota));
      out.push_back(std::move(period));
      break;
    case Order::period_first:
      out.push_back(std::move(period));
      out.push_back(std::move(quota));
      break;
    case Order::unlimited_between:
      out.push_back({quota.file, no_limit_v1});
      out.push_back(std::move(period));
      quota.restore = no_limit_v1;
      out.push_back(std::move(quota));
      break;
  }
}

Status add_bandwidth(const State& now, const Change& wanted, Settings& out) {
  if (!wanted.quota && !wanted.cpus && !wanted.period && !wanted.burst) return {};
  const auto next = detail::wanted_bandwidth(now, wanted);
  if (!next) return fail(next.error());
  const Bandwidth& before = *now.bandwidth;
  const bool v2 = now.version == Version::v2;
  const auto add_burst = [&] {
    out.push_back({v2 ? "cpu.max.burst" : "cpu.cfs_burst_us", text(*wanted.burst)});
  };
  // The burst may never exceed the quota.
  const bool falls = wanted.burst && *wanted.burst < *before.burst;
  if (falls) add_burst();
  if (v2 && (wanted.quota || wanted.cpus || wanted.period)) {
    out.push_back({"cpu.max", text(next->quota, "max") + " " + text(next->period)});
  }
  if (!v2) add_bandwidth_v1(before, *next, wanted, now.has_children, out);
  if (wanted.burst && !falls) add_burst();
  return {};
}

Status add_real_time(const State& now, const Change& wanted, Settings& out) {
  if (!wanted.rt_runtime && !wanted.rt_period) return {};
  if (!now.real_time) {
    return now.version == Version::v2 ? lacking("cgroup v2 has no budgets for real-time tasks",
                                                "use the v1 cpu controller")
                                      : lacking("this kernel has no budgets for real-time tasks",
                                                "it needs CONFIG_RT_GROUP_SCHED");
  }
  const RealTime& before = *now.real_time;
  const RealTime next{wanted.rt_runtime.value_or(before.runtime),
                      wanted.rt_period.value_or(before.period)};
  if (wanted.rt_runtime && wanted.rt_period) {
    auto steps = detail::real_time_steps(before, next, now.real_time_room);
    std::move(steps.begin(), steps.end(), std::back_inserter(out));
  } else if (wanted.rt_runtime) {
    out.push_back({"cpu.rt_runtime_us", text(next.runtime)});
  } else {
    out.push_back({"cpu.rt_period_us", text(next.period)});
  }
  return {};
}

bool has_share(const Change& wanted) noexcept { return wanted.shares || wanted.weight; }

std::optional<Setting> weight_setting(const State& now, const Change& wanted) {
  if (!has_share(wanted)) return std::nullopt;
  if (now.version == Version::v1) {
    const Shares value =
        wanted.shares ? *wanted.shares : to_shares(*wanted.weight, wanted.conversion);
    return Setting{"cpu.shares", std::to_string(value.value)};
  }
  if (wanted.weight) return Setting{"cpu.weight", std::to_string(wanted.weight->value)};
  const Weight value = to_weight(*wanted.shares, wanted.conversion);
  if (value.value == 0) return std::nullopt;
  return Setting{"cpu.weight", std::to_string(value.value)};
}

Status add_share(const State& now, const Change& wanted, Settings& out) {
  if (!has_share(wanted) && !wanted.nice && !wanted.idle) return {};
  if (wanted.shares && wanted.weight) {
    return contradiction("shares and a weight are the same setting", "give one of them");
  }
  if (has_share(wanted) && wanted.nice) {
    return contradiction("a weight and a nice value are the same setting", "give one of them");
  }
  if (wanted.nice && now.version == Version::v1) {
    return lacking("cgroup v1 has no cpu.weight.nice", "give shares");
  }
  const auto& weight = wanted.weight;
  if (weight && (weight->value < 1 || weight->value > detail::most_weight)) {
    return contradiction("a weight of " + std::to_string(weight->value) + " is out of range",
                         "1 to 10000");
  }
  if (wanted.idle && !now.idle) {
    return lacking("this cgroup has no cpu.idle", "it needs Linux 5.15; the root has none");
  }
  if ((has_share(wanted) || wanted.nice) && !now.shares && !now.weight) {
    return lacking("this cgroup has no share", "the root of v2 has none");
  }
  const bool was_idle = now.idle.value_or(false);
  if ((has_share(wanted) || wanted.nice) && wanted.idle.value_or(was_idle)) {
    return contradiction("an idle cgroup has no share", "set cpu.idle to 0 with it");
  }
  if (wanted.idle && *wanted.idle) {
    out.push_back({"cpu.idle", "1"});
    return {};
  }
  if (wanted.idle) out.push_back({"cpu.idle", "0"});
  if (const auto share = weight_setting(now, wanted)) out.push_back(*share);
  if (wanted.nice) out.push_back({"cpu.weight.nice", std::to_string(*wanted.nice)});
  return {};
}

/// Returns a limit of `count` CPUs for that period. If `may_grow`, the period is lengthened if the
/// quota would be below the kernel's minimum.
Bandwidth of_cpus(double count, microseconds period, bool may_grow) {
  const auto quota = [&] {
    return microseconds(std::llround(count * static_cast<double>(period.count())));
  };
  if (may_grow && quota() < detail::least_quota) {
    const double needed = std::ceil(static_cast<double>(detail::least_quota.count()) / count);
    const auto longest = static_cast<double>(detail::longest_period.count());
    period = std::max(period, microseconds(std::llround(std::min(needed, longest))));
  }
  Bandwidth bandwidth;
  bandwidth.period = period;
  bandwidth.quota = quota();
  return bandwidth;
}

/// Returns the period for a new number of CPUs. The default period is used again if the present one
/// was lengthened for a small number of CPUs: its quota is then the kernel's minimum.
microseconds base_period(const Bandwidth& now) {
  const bool lengthened = now.quota == detail::least_quota && now.period > default_period;
  return lengthened ? default_period : now.period;
}

/// More CPUs than any machine has; keeps quota * period within 64 bits.
constexpr double most_cpus = 1e6;

}  // namespace

namespace detail {

Result<Bandwidth> wanted_bandwidth(const State& now, const Change& wanted) {
  if (!now.bandwidth) {
    return lacking("this cgroup has no limit of CPU time",
                   "the root of v2 has none; elsewhere the kernel needs CONFIG_CFS_BANDWIDTH");
  }
  if (wanted.burst && !now.bandwidth->burst) {
    return lacking("this kernel has no CPU burst", "it needs Linux 5.14");
  }
  if (wanted.quota && wanted.cpus) {
    return contradiction("a quota and a number of CPUs are the same setting", "give one of them");
  }
  Bandwidth next = *now.bandwidth;
  if (wanted.period) next.period = *wanted.period;
  if (wanted.quota) next.quota = wanted.quota->limit;
  if (!next.quota && !wanted.period) next.period = base_period(*now.bandwidth);
  if (wanted.cpus) {
    if (!(*wanted.cpus > 0 && *wanted.cpus <= most_cpus)) {
      return contradiction("not a number of CPUs", "give 0.001 or more");
    }
    const microseconds period = wanted.period ? next.period : base_period(next);
    next = of_cpus(*wanted.cpus, period, !wanted.period);
    next.burst = now.bandwidth->burst;
  }
  if (wanted.burst) next.burst = wanted.burst;
  // v1 treats any negative quota as no limit.
  if (next.quota && *next.quota < microseconds(0)) {
    return contradiction("a quota cannot be negative", "leave it out for no limit");
  }
  if (next.quota && next.burst && *next.burst > *next.quota) {
    return contradiction(
        "a burst of " + text(*next.burst) + " us is above the quota of " + text(*next.quota) +
            " us",
        wanted.burst ? "the burst can be at most the quota" : "lower the burst with it");
  }
  return next;
}

}  // namespace detail

std::optional<double> Bandwidth::cpus() const noexcept {
  if (!quota) return std::nullopt;
  return static_cast<double>(quota->count()) / static_cast<double>(period.count());
}

Bandwidth Bandwidth::cpus(double count, microseconds period) noexcept {
  if (!(count > 0 && count <= most_cpus)) return {microseconds(0), period, std::nullopt};
  return of_cpus(count, period, true);
}

Change change_to(const Bandwidth& bandwidth) {
  Change change;
  change.quota = Quota{bandwidth.quota};
  change.period = bandwidth.period;
  change.burst = bandwidth.burst;
  return change;
}

Result<std::vector<Setting>> plan(const State& now, const Change& wanted) {
  Settings out;
  out.reserve(4);  // a limit of CPU time needs at most four
  if (auto status = add_bandwidth(now, wanted, out); !status) return fail(status.error());
  if (auto status = add_real_time(now, wanted, out); !status) return fail(status.error());
  if (auto status = add_share(now, wanted, out); !status) return fail(status.error());
  return out;
}

}  // namespace cgctl::cpu
