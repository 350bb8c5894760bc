// SPDX-FileCopyrightText: The cgctl authors
// SPDX-License-Identifier: MIT
#include <cstddef>
#include <vector>

#include "cgctl/census.hpp"
#include "zombies/sources.hpp"

namespace cgctl::zombies {
namespace {

void add(const census::Memory& own, Residual& sum) noexcept {
  sum.file += own.file;
  sum.shmem += own.shmem;
  sum.mapped += own.mapped;
  sum.anon += own.anon;
  sum.unevictable += own.unevictable;
}

/// The removed cgroups whose nearest live ancestor is the same.
struct Dead {
  std::uint64_t count = 0;
  Residual pages;
};

}  // namespace

Result<Attribution> by_census(const Host& host) {
  auto census = census::Census::open(host);
  if (!census) return fail(census.error());
  census::Snapshot snapshot;
  if (auto status = census->take(snapshot); !status) return fail(status.error());
  Attribution out;
  out.source = Source::census;
  // Kernels that take a census (Linux 5.10) hand slab objects to the parent (5.9).
  out.slab = SlabPins::no;
  out.residual.emplace();
  const auto& all = snapshot.cgroups;
  std::vector<std::size_t> nearest_live(all.size());
  std::vector<Dead> below(all.size());
  for (std::size_t i = 0; i < all.size(); ++i) {
    nearest_live[i] = all[i].live ? i : nearest_live[all[i].parent];
    if (all[i].live) continue;
    Dead& dead = below[nearest_live[i]];
    ++dead.count;
    add(all[i].own, dead.pages);
    add(all[i].own, *out.residual);
  }
  for (std::size_t i = 0; i < all.size(); ++i) {
    if (below[i].count == 0) continue;
    out.ancestors.push_back(
        {snapshot.path(i), below[i].count, below[i].pages.total(), below[i].pages});
  }
  return out;
}

}  // namespace cgctl::zombies
