// SPDX-FileCopyrightText: The cgctl authors
// SPDX-License-Identifier: MIT
#pragma once

#include <chrono>
#include <string>

#include "cgctl/error.hpp"
#include "cgctl/host.hpp"
#include "cgctl/zombies.hpp"

namespace cgctl::tool::check_command {

/// The most memory cgroups, removed ones included, that the kernel can have at a time
/// (MEM_CGROUP_ID_MAX in mm/memcontrol.c).
inline constexpr double memcg_ids = 65535;

/// A figure, and the words that a person needs to act on it.
struct Figure {
  double value = 0;  ///< in the unit of its check
  std::string text;
};

/// The figures of a time during which the host was watched.
struct Window {
  Result<Figure> hold = fail(Error{});       ///< seconds
  Result<Figure> throttled = fail(Error{});  ///< percent
};

struct Wanted {
  bool hold = false;
  bool throttled = false;
  std::chrono::nanoseconds time{};
};

/// Returns the seconds that a read of the root's memory.numa_stat takes. Makes the read if it is
/// sure to take at most `limit`; else returns the upper bound.
Result<Figure> cost_of_a_read(const Host& host, std::chrono::nanoseconds limit);

/// Watches the host for Wanted::time, for the longest time that a task held a CPU inside the
/// statistics of memory cgroups, and for the cgroup that was throttled in most of its periods.
Window watch(const Host& host, const Wanted& wanted);

}  // namespace cgctl::tool::check_command
