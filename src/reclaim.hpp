// SPDX-FileCopyrightText: The cgctl authors
// SPDX-License-Identifier: MIT
#pragma once

#include <chrono>
#include <vector>

#include "cgctl/error.hpp"
#include "cgctl/host.hpp"
#include "cgctl/mitigation.hpp"
#include "cgctl/zombies.hpp"

namespace cgctl::detail {

/// Frees pages of zombies through v2's memory.reclaim (since Linux 5.19, cgroup-v2.rst) of the
/// cgroups most of them hang directly below; reclaim of a cgroup reaches its dying descendants. It
/// reaches live ones too, so no more is asked for than a few times the bytes that can be the
/// zombies'. Runs isolated, within policy.deadline.
Result<std::chrono::nanoseconds> reclaim(const Host& host,
                                         const std::vector<zombies::Ancestor>& ancestors,
                                         const mitigation::Policy& policy);

}  // namespace cgctl::detail
