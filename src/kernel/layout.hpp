// SPDX-FileCopyrightText: The cgctl authors
// SPDX-License-Identifier: MIT
#pragma once

#include <algorithm>
#include <array>
#include <cstddef>
#include <cstdint>
#include <vector>

#include "cgctl/census.hpp"
#include "cgctl/error.hpp"
#include "kernel/btf.hpp"
#include "kernel/walk.h"

namespace cgctl::kernel {

using census::Counter;

/// LRU lists of a zone: inactive and active anonymous, inactive and active file, unevictable.
inline constexpr std::size_t lru_lists = 5;

/// The index of a counter in cgctl_record::state, and its unit.
struct Slot {
  static constexpr std::size_t absent = ~std::size_t{0};
  std::size_t index = absent;
  bool bytes = false;  ///< false: pages
};

using Slots = std::array<Slot, census::counters>;  ///< by Counter

/// The places of the fields and counters that a census reads, on one kernel.
struct Layout {
  cgctl_layout fields{};
  Slots slots{};
  std::size_t zones = 0;        ///< of each node
  bool slab_holds = false;      ///< as in census::Snapshot
  bool pages_move = false;      ///< as in census::Snapshot
  bool coarse_counters = true;  ///< as in census::Snapshot

  /// Sets the NUMA nodes whose LRU lists are read, at most cgctl_nodes.
  void set_nodes(const std::vector<unsigned>& numbers) {
    std::copy(numbers.begin(), numbers.end(), fields.node_numbers);
    fields.nodes = static_cast<unsigned>(numbers.size());
  }
};

/// Finds the fields by the kernel's type information. errc::unsupported names one that is missing.
[[nodiscard]] Result<Layout> layout_of(const Btf& btf);

}  // namespace cgctl::kernel
