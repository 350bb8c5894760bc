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

/// Counts the pages of v1 cgroups, none of which is below another. Takes a census, where the kernel
/// has no type information with the offsets of `offsets_file`; or, if a census is impossible, reads
/// the flags of all pages in at most `limit` of CPU time. Never reads memory.stat, which visits all
/// cgroups below on old kernels.
[[nodiscard]] Result<std::vector<SubtreePages>> subtree_pages(
    const Host& host, const std::vector<std::string>& cgroups, const std::string& offsets_file,
    std::chrono::nanoseconds limit);

}  // namespace cgctl::zombies
