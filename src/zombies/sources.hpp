// SPDX-FileCopyrightText: The cgctl authors
// SPDX-License-Identifier: MIT
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <vector>

#include "cgctl/error.hpp"
#include "cgctl/host.hpp"
#include "cgctl/zombies.hpp"
#include "zombies/page_frames.hpp"

namespace cgctl::zombies {

/// Returns the memory controller's hierarchy if it is visible as a whole, so that counts are
/// meaningful.
[[nodiscard]] Result<const Hierarchy*> whole_memory_hierarchy(const Host& host);

/// A live cgroup of v1, by its memory.stat.
struct Live {
  std::string path;
  std::uint64_t inode = 0;
  Residual own;                       ///< its own pages
  std::uint64_t charged = 0;          ///< how often pages were charged to it (pgpgin)
  std::optional<std::uint64_t> left;  ///< bytes of zombies below it; absent: unknown
};

/// Attributes by a census; `offsets_file` is that of census::Options.
[[nodiscard]] Result<Attribution> by_census(const Host& host, const char* offsets_file);

/// Replaces estimates of `out`, which come from memory.stat, by what the flags of the page frames
/// say. `live` are all live cgroups on v1, and not needed on v2.
[[nodiscard]] Status refine(const Host& host, PageFrames frames, const AttributionLimits& limits,
                            const std::vector<Live>& live, Attribution& out);

}  // namespace cgctl::zombies
