// SPDX-FileCopyrightText: The cgctl authors
// SPDX-License-Identifier: MIT
#pragma once

#include <algorithm>
#include <string>
#include <string_view>
#include <vector>

#include "cgctl/mitigation_policy.hpp"
#include "cgctl/zombies.hpp"

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

/// Returns the bytes that go with a zombie, if `zombies` of them hold `bytes`. On v2 only a census
/// tells pages of zombies from a live cgroup's own; without one this is a low estimate.
inline std::uint64_t bytes_each(const mitigation::Observation& seen, std::uint64_t bytes,
                                std::uint64_t zombies) noexcept {
  constexpr std::uint64_t surely = std::uint64_t{64} << 10;
  const std::uint64_t each = std::max(bytes / std::max<std::uint64_t>(zombies, 1), seen.page_size);
  const bool exact =
      seen.zombies.hierarchy == Version::v1 || seen.source == zombies::Source::census;
  return exact ? each : std::min(each, surely);
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
