// SPDX-FileCopyrightText: The cgctl authors
// SPDX-License-Identifier: MIT
#pragma once

#include <cstdint>

#include "cgctl/error.hpp"
#include "kernel/btf.hpp"

namespace cgctl::kernel {

/// The places of the fields that lead from a memory cgroup to its pages, their files and the
/// processes that map these, in bytes from the start of their structure.
struct PageLayout {
  std::uint32_t flags, serial;                // of a css
  std::uint32_t nodeinfo;                     // of a memory cgroup
  std::uint32_t lists, generations;           // of mem_cgroup_per_node
  std::uint32_t generations_bytes;            // 0: the kernel has no multi-generational LRU
  std::uint32_t link, mapping, index, owner;  // of a page
  std::uint32_t order;                        // of a large folio; one byte
  std::uint32_t host, mapped;                 // of an address_space
  std::uint32_t inode_mapping, super, inode, generation, device, links, dentry;  // of an inode
  std::uint32_t super_device, type, type_name;
  std::uint32_t alias, parent, name;  // of a dentry
  std::uint32_t node, left, right;    // of a mapping's tree of memory areas
  std::uint32_t area_memory, area_file, file_mapping, memory_owner, process, process_name;
  std::uint32_t head_bit, dirty_bit, swappable_bit;  // of a page's flags
};

/// Finds the fields by the kernel's type information. errc::unsupported names one that is missing.
[[nodiscard]] Result<PageLayout> page_layout_of(const Btf& btf);

}  // namespace cgctl::kernel
