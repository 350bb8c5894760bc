// SPDX-FileCopyrightText: The cgctl authors
// SPDX-License-Identifier: MIT
#pragma once

#include <optional>

#include "cgctl/numa_stat.hpp"
#include "doctor/doctor_report.hpp"

namespace cgctl::tool::doctor_command {

/// Measures a cgroup without and with children, which it creates and removes: the only way to tell
/// on a machine with few cgroups whether reads walk. Sets `left` to what it
/// created.
Result<Walk> probe(const Host& host, numa::CostGuard& guard, unsigned children,
                   std::optional<Probe>& left);

}  // namespace cgctl::tool::doctor_command
