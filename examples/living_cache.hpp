// SPDX-FileCopyrightText: The cgctl authors
// SPDX-License-Identifier: MIT
#pragma once

#include <cstdint>
#include <string>

#include "cgctl/error.hpp"
#include "cgctl/host.hpp"
#include "zombie_maker.hpp"

/// Measures what freeing zombies costs the living, for the laboratory and the benchmarks.
namespace cgctl::lab {

/// Bytes of page cache that are not the zombies'.
struct Cache {
  std::uint64_t neighbours = 0;  ///< of the live cgroups beside the zombies
  std::uint64_t outside = 0;     ///< of the live cgroup outside of the maker's
  std::uint64_t others = 0;      ///< of the rest of the machine, `outside` included

  /// Returns the bytes lost since `before`; a part that has grown has lost nothing.
  [[nodiscard]] std::uint64_t lost_since(const Cache& before) const noexcept;
  /// Returns the same of the maker's live cgroups alone, which other programs do not change.
  [[nodiscard]] std::uint64_t lost_by_live_since(const Cache& before) const noexcept;
};

/// Returns the present page cache of the maker's neighbours and of the rest of the machine.
Result<Cache> living_cache(const Host& host, const ZombieMaker& maker);

/// Counts the zombies until their number no longer changes: the kernel frees removed cgroups only
/// after an RCU grace period. Takes at most ten seconds.
Result<std::uint64_t> settled_zombies(const Host& host);

/// Lets v1's memory.force_empty of a cgroup take all that it can, to compare rungs with.
Status force_empty(const Host& host, const std::string& path);

}  // namespace cgctl::lab
