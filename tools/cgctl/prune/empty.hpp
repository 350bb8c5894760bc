// SPDX-FileCopyrightText: The cgctl authors
// SPDX-License-Identifier: MIT
#pragma once

#include <cstdint>
#include <map>
#include <string>
#include <vector>

#include "cgctl/error.hpp"
#include "cgctl/group.hpp"
#include "cli/tree_order.hpp"

namespace cgctl::tool::prune_command {

/// A cgroup with all that are below it.
struct Subtree {
  std::uint64_t cgroups = 0;
  bool populated = false;   ///< true if there is a process in it or below, or if that is not known
  std::int64_t newest = 0;  ///< latest time at which a directory changed, in seconds since 1970
  std::vector<Error> unread;  ///< why it is not known whether there is a process
};

using Subtrees = std::map<std::string, Subtree, TreeOrder>;

/// Looks at a cgroup and at each below it, in all hierarchies that have it. The keys are paths from
/// the root.
Result<Subtrees> look_at(const Group& top);

}  // namespace cgctl::tool::prune_command
