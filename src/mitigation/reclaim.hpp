// SPDX-FileCopyrightText: The cgctl authors
// SPDX-License-Identifier: MIT
#pragma once

#include <chrono>
#include <vector>

#include "cgctl/error.hpp"
#include "cgctl/host.hpp"
#include "cgctl/zombies.hpp"
#include "detail/isolated.hpp"

namespace cgctl::detail {

/// Frees pages of zombies by writing to v2's memory.reclaim (since Linux 5.19, cgroup-v2.rst) of
/// the cgroups that most zombies are directly below. Reclaim from a cgroup also covers its removed
/// descendants. It covers live ones too, so the total requested is limited to a few times the bytes
/// that the zombies can hold. `chunk` is the number of bytes per write.
Result<std::chrono::nanoseconds> reclaim(const Host& host,
                                         const std::vector<zombies::Ancestor>& ancestors,
                                         std::uint64_t chunk, Isolation how);

}  // namespace cgctl::detail
