// SPDX-FileCopyrightText: The cgctl authors
// SPDX-License-Identifier: MIT
#pragma once

#include <cstdint>

#include "cgctl/numa_stat.hpp"
#include "doctor/examine.hpp"

namespace cgctl::tool::doctor_command {

/// Bounds of the number of memory cgroups at and below the visible root, removed ones included.
struct Population {
  std::uint64_t at_least = 1;
  std::uint64_t at_most = 1;
};

/// Returns the number of memory cgroups. If zombies cannot be counted, v2 still gives the number
/// for each cgroup; on v1 the machine's number is the upper bound, that of live cgroups the lower
/// one.
Population population(const Host& host, const Known<Zombies>& zombies, Unread& unread);

/// Opens the memory.numa_stat of a cgroup.
Result<numa::Reader> reader_of(const Host& host, const std::string& path);
/// Measures at most `most` reads, none after a slow one.
Result<ReadCost::Measured> measure(const numa::Reader& reader, nanoseconds slow, unsigned most);
/// Finds what a read of the root costs, and for how long it delays other work, without making a
/// read that the guard predicts to be expensive, unless the options ask for it.
void examine_read(const Host& host, numa::CostGuard& guard, const Population& memcgs,
                  const ExamineOptions& options, Diagnosis& found);

}  // namespace cgctl::tool::doctor_command
