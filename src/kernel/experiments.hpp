// SPDX-FileCopyrightText: The cgctl authors
// SPDX-License-Identifier: MIT
#pragma once

#include <array>
#include <cstddef>
#include <cstdint>

#include "cgctl/host.hpp"
#include "kernel/layout.hpp"
#include "kernel/peek.hpp"

namespace cgctl::kernel {

/// The cgroups that experiments are made with, and facts about the machine.
struct Laboratory {
  static constexpr std::size_t groups = 4;
  /// Their names, which are searched for in the kernel.
  static constexpr std::array<const char*, groups> names{"probe-a", "probe-b", "probe-c",
                                                         "probe-d"};
  Version version = Version::v1;
  int root = -1;                          ///< the hierarchy's root directory
  int base = -1;                          ///< the directory that has only the groups below it
  std::array<int, groups> directories{};  ///< the groups', made in this order
  std::uint64_t memory = 0;               ///< bytes from the first page to the last one
  unsigned nodes = 1;                     ///< NUMA nodes; 0: lists are not looked for
  std::size_t zones = 0;                  ///< of each node
  std::size_t highest = 0;                ///< zone that has memory
};

/// Finds the offsets of the kernel's structures by charging known amounts of memory to the groups
/// and looking for these in the kernel. The calling process, which must have only one thread, moves
/// into the groups and must end afterwards; the last group is removed. Makes no allocation. Returns
/// null, or the name of the field that was not found.
[[nodiscard]] const char* find_by_experiment(Peek& peek, const Laboratory& laboratory,
                                             Layout& layout);

}  // namespace cgctl::kernel
