// SPDX-FileCopyrightText: The cgctl authors
// SPDX-License-Identifier: MIT
#pragma once

#include <optional>

#include "cgctl/numa_stat.hpp"
#include "doctor/doctor_report.hpp"

namespace cgctl::tool::doctor_command {

/// Compares what a read of memory.numa_stat costs in a cgroup without children (`leaf`) and in one
/// with at least 15 cgroups below. Returns a Walk only if the second read is at least twice as
/// expensive and each cgroup's share is what judge() asks for: removed cgroups, of which v1 does
/// not say where they are, can make reads seem to walk less than they do, never more. Creates
/// nothing, and makes no read that `guard` predicts to exceed the budget.
Result<std::optional<Walk>> compare_subtrees(const Host& host, numa::CostGuard& guard,
                                             const Known<Zombies>& zombies, nanoseconds leaf);

}  // namespace cgctl::tool::doctor_command
