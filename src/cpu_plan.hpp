// SPDX-FileCopyrightText: The cgctl authors
// SPDX-License-Identifier: MIT
#pragma once

#include "cgctl/cpu.hpp"

namespace cgctl::cpu::detail {

/// What the kernel takes (kernel/sched/core.c: min_cfs_quota_period, max_cfs_quota_period).
inline constexpr microseconds least_quota{1000};
inline constexpr microseconds shortest_period{1000};
inline constexpr microseconds longest_period{1000000};

/// The bandwidth a cgroup will have. Errors as of plan().
Result<Bandwidth> wanted_bandwidth(const State& now, const Change& wanted);

}  // namespace cgctl::cpu::detail
