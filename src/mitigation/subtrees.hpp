// SPDX-FileCopyrightText: The cgctl authors
// SPDX-License-Identifier: MIT
#pragma once

#include <algorithm>
#include <string>
#include <string_view>
#include <vector>

#include "cgctl/mitigation_policy.hpp"
#include "cgctl/zombies.hpp"
#include "mitigation/holdings.hpp"

namespace cgctl::detail {

/// True if `path` is `top` or below it.
inline bool is_within(std::string_view path, std::string_view top) noexcept {
  return path.substr(0, top.size()) == top &&
         (path.size() == top.size() || path[top.size()] == '/');
}

/// Returns the bytes that reclaim may take from the zombies below an ancestor: their page cache,
/// also where processes map it. Where the source does not tell kinds, all bytes may be page cache.
inline std::uint64_t reclaimable_bytes(const zombies::Ancestor& one) noexcept {
  return one.pages ? one.pages->file : one.bytes.value_or(0);
}

/// Adds what goes with the zombies below an ancestor; without their number, that of the whole
/// machine is assumed. A zombie holds at least a page. On v2 only a census tells pages of zombies
/// from a live cgroup's own; without one this is a low estimate.
inline void add_held(const mitigation::Observation& seen, const zombies::Ancestor& one,
                     Holdings& held) {
  constexpr std::uint64_t surely = std::uint64_t{64} << 10;
  const auto add = [&](std::uint64_t zombies, std::uint64_t bytes) {
    held.add(zombies, std::max(bytes, zombies * seen.page_size));
  };
  for (const zombies::SizeClass& alike : one.page_cache) add(alike.count, alike.bytes);
  if (!one.page_cache.empty()) return;
  const std::uint64_t zombies = std::max<std::uint64_t>(one.count.value_or(seen.zombies.low), 1);
  const std::uint64_t bytes = reclaimable_bytes(one);
  const bool exact =
      seen.zombies.hierarchy == Version::v1 || seen.source == zombies::Source::census;
  add(zombies, exact ? bytes : std::min(bytes, zombies * surely));
}

/// Returns what goes with the zombies below an ancestor.
inline Holdings held_below(const mitigation::Observation& seen, const zombies::Ancestor& one) {
  Holdings held;
  add_held(seen, one, held);
  return held;
}

/// Returns the top-most cgroup of v1 at or above `path` whose reclaim covers `path`: charges are
/// hierarchical (memory.use_hierarchy) in it, and so in all below it. Never the root. Empty if
/// there is none.
template <class IsHierarchical>
std::string top_of(const std::string& path, const IsHierarchical& is_hierarchical) {
  for (std::size_t end = 1; end < path.size();) {
    end = std::min(path.find('/', end + 1), path.size());
    std::string one = path.substr(0, end);
    if (is_hierarchical(one)) return one;
  }
  return {};
}

/// Returns the top-most cgroups whose reclaim covers the zombies that have page cache, those
/// with the most bytes first. Zombies directly below the root, or below a cgroup whose charges are
/// not hierarchical, are in none.
template <class IsHierarchical>
std::vector<zombies::Ancestor> subtrees(const std::vector<zombies::Ancestor>& ancestors,
                                        const IsHierarchical& is_hierarchical) {
  std::vector<zombies::Ancestor> tops;
  for (const zombies::Ancestor& one : ancestors) {
    const std::uint64_t bytes = reclaimable_bytes(one);
    if (bytes == 0) continue;
    auto found = std::find_if(tops.begin(), tops.end(), [&one](const zombies::Ancestor& top) {
      return is_within(one.path, top.path);
    });
    if (found == tops.end()) {
      std::string top = top_of(one.path, is_hierarchical);
      if (top.empty()) continue;
      found = tops.insert(tops.end(),
                          {std::move(top), one.count ? std::optional(0ULL) : std::nullopt, 0});
    }
    *found->bytes += bytes;
    found->page_cache.insert(found->page_cache.end(), one.page_cache.begin(), one.page_cache.end());
    if (found->count && one.count) {
      *found->count += *one.count;
    } else {
      found->count.reset();
    }
  }
  std::stable_sort(tops.begin(), tops.end(),
                   [](const auto& a, const auto& b) { return *a.bytes > *b.bytes; });
  return tops;
}

}  // namespace cgctl::detail
