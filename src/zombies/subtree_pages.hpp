// SPDX-FileCopyrightText: The cgctl authors
// SPDX-License-Identifier: MIT
#pragma once

#include <chrono>
#include <cstdint>
#include <string>
#include <vector>

#include "cgctl/error.hpp"
#include "cgctl/host.hpp"

namespace cgctl::zombies {

/// Pages of a cgroup and all below it, removed ones included, in bytes.
struct SubtreePages {
  std::uint64_t clean_file = 0;  ///< page cache that needs no writing back; a lower bound
  std::uint64_t anon = 0;        ///< on anonymous LRU lists, tmpfs included
};

/// Counts the pages of v1 cgroups, none of which is below another. Takes a census, or, without one,
/// reads the flags of all pages in at most `limit` of CPU time; never memory.stat, which visits all
/// cgroups below on old kernels.
[[nodiscard]] Result<std::vector<SubtreePages>> subtree_pages(
    const Host& host, const std::vector<std::string>& cgroups, std::chrono::nanoseconds limit);

}  // namespace cgctl::zombies
