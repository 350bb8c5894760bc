// SPDX-FileCopyrightText: The cgctl authors
// SPDX-License-Identifier: MIT
#pragma once

#include "cgctl/cpu.hpp"

namespace cgctl::cpu::detail {

/// What the kernel takes (kernel/sched/core.c: min_cfs_quota_period, max_cfs_quota_period).
inline constexpr microseconds least_quota{1000};
inline constexpr microseconds shortest_period{1000};
inline constexpr microseconds longest_period{1000000};
inline constexpr std::uint64_t most_weight = 10000;

/// The bandwidth a cgroup will have. Errors as of plan().
Result<Bandwidth> wanted_bandwidth(const State& now, const Change& wanted);

/// As the kernel compares them: in 2^-20 of a CPU (to_ratio() in kernel/sched/core.c).
std::int64_t ratio(microseconds runtime, microseconds period);

/// Whether the kernel takes it there (tg_rt_schedulable() in kernel/sched/rt.c).
bool fits(const RealTime& budget, const RealTimeRoom& room);

/// The writes from one to the other, each of which fits as far as there is such a way.
std::vector<settings::Setting> real_time_steps(const RealTime& now, const RealTime& next,
                                               const RealTimeRoom& room);

}  // namespace cgctl::cpu::detail
