// SPDX-FileCopyrightText: The cgctl authors
// SPDX-License-Identifier: MIT
#include "mitigation/swap_guard.hpp"

#include <fcntl.h>

#include "cgctl/filesystem.hpp"
#include "cgctl/group.hpp"
#include "cgctl/mitigation.hpp"
#include "cgctl/parse.hpp"
#include "detail/tree_walk.hpp"

namespace cgctl::detail {
namespace {

/// True if this cgroup's own pages may be swapped out, or if that cannot be found out.
bool swaps(const Host& host, const std::string& cgroup) {
  const auto group = host.open(cgroup);
  if (!group) return group.error().kind != errc::vanished;
  const auto swappiness = group->read("memory.swappiness");
  if (!swappiness) return swappiness.error().kind != errc::vanished;
  return parse::whole_number(*swappiness).value_or(1) != 0;
}

}  // namespace

bool may_swap(const Host& host, const std::string& cgroup) {
  const auto free_swap = mitigation::free_swap(host);
  if (free_swap && *free_swap == 0) return false;
  bool any = swaps(host, cgroup);
  const Hierarchy& memory = *host.find("memory");
  const std::string shown = fs::join(memory.mount_point, cgroup.substr(1));
  const auto top = fs::open_beneath(memory.directory.get(), cgroup.substr(1),
                                    O_RDONLY | O_DIRECTORY | memory.open_flags, shown);
  if (!top) return true;
  const auto walked = walk_below(top->get(), shown, [&](const Step& step) -> Result<Next> {
    any = any || swaps(host, fs::join(cgroup, std::string_view(step.path).substr(1)));
    return any ? Next::end : Next::inside;
  });
  return any || !walked;
}

}  // namespace cgctl::detail
