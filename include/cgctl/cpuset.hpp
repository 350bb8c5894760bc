// SPDX-FileCopyrightText: The cgctl authors
// SPDX-License-Identifier: MIT
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "cgctl/error.hpp"
#include "cgctl/group.hpp"
#include "cgctl/settings.hpp"

/// The CPUs and memory nodes that a cgroup may use: the cpuset controller (cgroup-v1/cpusets.rst,
/// cgroup-v2.rst; on v2 Linux 5.0).
namespace cgctl::cpuset {

/// Numbers of CPUs or of memory nodes, in rising order.
using Ids = std::vector<std::uint32_t>;

/// Parses a list as the kernel writes it: "0-3,8". Nothing for another text and for numbers above
/// 65,535.
std::optional<Ids> parse_ids(std::string_view text);
/// Returns the list as the kernel writes it; empty for none.
std::string to_string(const Ids& ids);

/// An absent list is one that the version or the kernel lacks; the root of v2 has only the lists
/// in effect.
struct State {
  Version version = Version::v1;
  std::optional<Ids> cpus;            ///< as set; on v2 empty means those of the parent
  std::optional<Ids> nodes;           ///< as set; on v2 empty means those of the parent
  std::optional<Ids> effective_cpus;  ///< those that its tasks run on
  std::optional<Ids> effective_nodes;
};

/// The lists to set; at least one. An empty list means those of the parent: on v1 a copy.
struct Change {
  std::optional<Ids> cpus;
  std::optional<Ids> nodes;

  [[nodiscard]] bool empty() const noexcept { return !cpus && !nodes; }
};

/// Reads the state. errc::unsupported if the host has no cpuset controller or, on v2, the cgroup
/// has it not enabled; errc::vanished if its hierarchy does not have the cgroup.
[[nodiscard]] Result<State> state(const Group& group);

/// Returns what set() would write, for settings::apply(). A new cgroup of v1 has neither CPUs nor
/// nodes and takes no tasks before it has both. So an empty list that the change does not name
/// becomes the parent's. errc::invalid_argument for the root. Errors of state().
[[nodiscard]] Result<std::vector<settings::Setting>> plan(const Group& group, const Change& change);

/// Sets the lists, all or none. Errors of plan() and of settings::apply(): EACCES if the parent has
/// less (v1), EBUSY if a cgroup below has more (v1), ENOSPC if tasks would be left without a CPU or
/// a node, EINVAL if the machine lacks one of them.
[[nodiscard]] Result<std::vector<settings::Written>> set(const Group& group, const Change& change);

}  // namespace cgctl::cpuset
