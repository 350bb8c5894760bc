// SPDX-FileCopyrightText: The cgctl authors
// SPDX-License-Identifier: MIT
#pragma once

#include <chrono>

#include "cgctl/error.hpp"
#include "cgctl/group.hpp"

/// Stops and continues the processes of a cgroup and of all cgroups below it. Uses the freezer of
/// v1 (cgroup-v1/freezer-subsystem.rst), or `cgroup.freeze` of v2 (cgroup-v2.rst, Linux 5.2).
namespace cgctl::freezer {

struct State {
  Version version = Version::v1;
  bool asked = false;   ///< this cgroup was asked to freeze
  bool above = false;   ///< a cgroup above was asked to; only its own thaw() helps then
  bool frozen = false;  ///< all processes in it and below have stopped
};

/// Reads the state. errc::unsupported if neither the freezer of v1 nor v2 has the cgroup, and for
/// the root.
[[nodiscard]] Result<State> state(const Group& group);

/// Stops the processes, and returns once all have stopped. New processes stop too. If they have not
/// all stopped at the deadline (a process waits for a device), the cgroup is as before:
/// errc::timed_out. EBUSY, with nothing done, if the calling process is in it or below. Errors of
/// state().
[[nodiscard]] Status freeze(const Group& group,
                            std::chrono::milliseconds deadline = std::chrono::seconds(5));

/// Lets the processes continue, and returns the state after that: they stay frozen while a cgroup
/// above is. On v1 a cgroup below that was frozen by itself stays frozen too.
[[nodiscard]] Result<State> thaw(const Group& group);

}  // namespace cgctl::freezer
