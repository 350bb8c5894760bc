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

/// Frees pages of zombies through v2's memory.reclaim (since Linux 5.19, cgroup-v2.rst) of the
/// cgroups most of them hang directly below; reclaim of a cgroup reaches its dying descendants. It
/// reaches live ones too, so no more is asked for than a few times the bytes that can be the
/// zombies'. `chunk`: bytes a write.
Result<std::chrono::nanoseconds> reclaim(const Host& host,
                                         const std::vector<zombies::Ancestor>& ancestors,
                                         std::uint64_t chunk, Isolation how);

}  // namespace cgctl::detail
