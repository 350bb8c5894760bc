// SPDX-FileCopyrightText: The cgctl authors
// SPDX-License-Identifier: MIT
#pragma once

#include "cgctl/cpu.hpp"

namespace cgctl::cpu::detail {

/// The kernel's limits (kernel/sched/core.c: min_cfs_quota_period, max_cfs_quota_period).
inline constexpr microseconds least_quota{1000};
inline constexpr microseconds shortest_period{1000};
inline constexpr microseconds longest_period{1000000};
inline constexpr std::uint64_t most_weight = 10000;

/// Returns the bandwidth that a cgroup will have. Fails like plan().
Result<Bandwidth> wanted_bandwidth(const State& now, const Change& wanted);

/// Returns runtime / period in units of 2^-20 CPU, as the kernel compares them (to_ratio() in
/// kernel/sched/core.c).
std::int64_t ratio(microseconds runtime, microseconds period);

/// True if the kernel accepts the budget there (tg_rt_schedulable() in kernel/sched/rt.c).
bool fits(const RealTime& budget, const RealTimeRoom& room);

/// Returns the writes from `now` to `next`. Each state in between fits, if there is such a
/// sequence.
std::vector<settings::Setting> real_time_steps(const RealTime& now, const RealTime& next,
                                               const RealTimeRoom& room);

}  // namespace cgctl::cpu::detail
