// SPDX-FileCopyrightText: The cgctl authors
// SPDX-License-Identifier: MIT
#pragma once

#include "cgctl/host.hpp"
#include "cgctl/names.hpp"
#include "cgctl/recorder.hpp"
#include "doctor/examine.hpp"

namespace cgctl::tool::doctor_command {

/// Finds how many memory cgroup ids are in use, and when the last one would be at the rate of the
/// last day: by the ledger of removals, by the history of mitigate, or on average since boot.
/// Needs the number of zombies.
void examine_ids(const Host& host, const recorder::Ledger* ledger, const std::string& state_dir,
                 Diagnosis& found);

/// Finds the cgroups that were throttled longest, and those in which the OOM killer killed. Takes
/// at most half a second; Diagnosis::unexamined counts the cgroups that were left out then.
void examine_cgroups(const Host& host, names::Resolver& names, Diagnosis& found);

/// Measures a read of the root's memory.stat. Stops after a slow one.
void examine_memory_stat(const Host& host, Diagnosis& found);

}  // namespace cgctl::tool::doctor_command
