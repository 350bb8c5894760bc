// SPDX-FileCopyrightText: The cgctl authors
// SPDX-License-Identifier: MIT
#pragma once

#include <cstdint>
#include <optional>
#include <vector>

#include "cgctl/error.hpp"
#include "cgctl/group.hpp"
#include "cgctl/settings.hpp"

/// Limits the number of tasks (processes and threads) of a cgroup and of all cgroups below it:
/// the pids controller (cgroup-v1/pids.rst, cgroup-v2.rst; Linux 4.3).
namespace cgctl::pids {

/// A limit. At the limit fork(2) and clone(2) fail with EAGAIN; tasks can still be moved in.
struct Max {
  std::optional<std::uint64_t> tasks;  ///< absent: no limit
};

/// A figure that the version or the kernel lacks is absent; the root has no limit.
struct State {
  Version version = Version::v1;
  std::optional<std::uint64_t> tasks;  ///< tasks in it and below
  std::optional<Max> max;
  std::optional<std::uint64_t> peak;        ///< most tasks so far (Linux 6.1)
  std::optional<std::uint64_t> limit_hits;  ///< forks refused, from `pids.events` (Linux 4.7)
};

/// The greatest limit that the kernel takes on machines with 64 bits (PID_MAX_LIMIT).
inline constexpr std::uint64_t greatest_max = 4194304;

/// Reads the state. errc::unsupported if the host has no pids controller or, on v2, the cgroup has
/// it not enabled; errc::vanished if its hierarchy does not have the cgroup.
[[nodiscard]] Result<State> state(const Group& group);

/// Returns what set() would write, for settings::apply(). errc::invalid_argument for a limit above
/// greatest_max and for the root. Errors of state().
[[nodiscard]] Result<std::vector<settings::Setting>> plan(const Group& group, const Max& max);

/// Sets the limit. A limit below the present number of tasks ends none. Errors of plan() and of
/// settings::apply().
[[nodiscard]] Result<std::vector<settings::Written>> set(const Group& group, const Max& max);

}  // namespace cgctl::pids
