// SPDX-FileCopyrightText: The cgctl authors
// SPDX-License-Identifier: MIT
#include "mitigation/swap_guard.hpp"

#include <fcntl.h>

#include <algorithm>

#include "cgctl/filesystem.hpp"
#include "cgctl/group.hpp"
#include "cgctl/mitigation.hpp"
#include "cgctl/parse.hpp"
#include "detail/tree_walk.hpp"
#include "mitigation/subtrees.hpp"

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

/// True if the pages of a live cgroup, this one or one below it, may be swapped out.
bool live_ones_swap(const Host& host, const std::string& cgroup) {
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

/// True if zombies below the cgroup hold memory on the lists of anonymous pages. Where the source
/// does not tell for each ancestor: if any zombies of the machine do.
bool zombies_hold_anonymous(const mitigation::Observation& seen, const std::string& cgroup) {
  const auto holds = [&](const zombies::Ancestor& one) {
    if (!is_within(one.path, cgroup)) return false;
    if (one.pages) return one.pages->anon != 0;
    return !seen.residual || seen.residual->anon != 0;
  };
  return std::any_of(seen.ancestors.begin(), seen.ancestors.end(), holds);
}

}  // namespace

Swappable swappable(const Host& host, const mitigation::Observation& seen,
                    const std::string& cgroup) {
  const auto free_swap = mitigation::free_swap(host);
  if (free_swap && *free_swap == 0) return Swappable::none;
  if (live_ones_swap(host, cgroup)) return Swappable::of_live_cgroups;
  return zombies_hold_anonymous(seen, cgroup) ? Swappable::of_zombies : Swappable::none;
}

}  // namespace cgctl::detail
