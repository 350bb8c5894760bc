// SPDX-FileCopyrightText: The cgctl authors
// SPDX-License-Identifier: MIT
#include "kernel/page_layout.hpp"

#include <optional>
#include <string>

#include "kernel/pages.h"

namespace cgctl::kernel {
namespace {

struct PageField {
  std::uint32_t PageLayout::*place;
  const char* structure;
  const char* path;
};

/// The first row of a place that the kernel has is right: later ones are names of older kernels.
constexpr PageField page_fields[] = {
    {&PageLayout::flags, "cgroup_subsys_state", "flags"},
    {&PageLayout::serial, "cgroup_subsys_state", "serial_nr"},
    {&PageLayout::nodeinfo, "mem_cgroup", "nodeinfo"},
    {&PageLayout::lists, "mem_cgroup_per_node", "lruvec.lists"},
    {&PageLayout::link, "page", "lru"},
    {&PageLayout::mapping, "page", "mapping"},
    {&PageLayout::index, "folio", "index"},
    {&PageLayout::index, "page", "index"},
    {&PageLayout::owner, "page", "memcg_data"},
    {&PageLayout::owner, "page", "mem_cgroup"},
    {&PageLayout::host, "address_space", "host"},
    {&PageLayout::mapped, "address_space", "i_mmap.rb_root.rb_node"},
    {&PageLayout::inode_mapping, "inode", "i_mapping"},
    {&PageLayout::super, "inode", "i_sb"},
    {&PageLayout::inode, "inode", "i_ino"},
    {&PageLayout::generation, "inode", "i_generation"},
    {&PageLayout::device, "inode", "i_rdev"},
    {&PageLayout::links, "inode", "i_nlink"},
    {&PageLayout::dentry, "inode", "i_dentry.first"},
    {&PageLayout::super_device, "super_block", "s_dev"},
    {&PageLayout::type, "super_block", "s_type"},
    {&PageLayout::type_name, "file_system_type", "name"},
    {&PageLayout::alias, "dentry", "d_alias"},
    {&PageLayout::alias, "dentry", "d_u.d_alias"},
    {&PageLayout::parent, "dentry", "d_parent"},
    {&PageLayout::name, "dentry", "d_name.name"},
    {&PageLayout::node, "vm_area_struct", "shared.rb"},
    {&PageLayout::left, "rb_node", "rb_left"},
    {&PageLayout::right, "rb_node", "rb_right"},
    {&PageLayout::area_memory, "vm_area_struct", "vm_mm"},
    {&PageLayout::area_file, "vm_area_struct", "vm_file"},
    {&PageLayout::file_mapping, "file", "f_mapping"},
    {&PageLayout::memory_owner, "mm_struct", "owner"},
    {&PageLayout::process, "task_struct", "tgid"},
    {&PageLayout::process_name, "task_struct", "comm"},
};

constexpr std::uint32_t unknown_place = ~std::uint32_t{0};

std::string find_page_fields(const Btf& btf, PageLayout& at) {
  for (const PageField& one : page_fields) at.*one.place = unknown_place;
  for (const PageField& one : page_fields) {
    const auto found = btf.field(one.structure, one.path);
    if (found && at.*one.place == unknown_place) at.*one.place = found->offset;
  }
  for (const PageField& one : page_fields) {
    if (at.*one.place == unknown_place) return std::string(one.structure) + "." + one.path;
  }
  return {};
}

/// Finds where a large folio's second struct page has its order.
std::optional<std::uint32_t> find_order(const Btf& btf) {
  if (const auto old = btf.field("page", "compound_order")) {
    return btf.size("page").value_or(0) + old->offset;
  }
  const auto order = btf.field("folio", "_folio_order");
  const auto flags = btf.field("folio", "_flags_1");  // its lowest byte since Linux 6.6
  if (order) return order->offset;
  return flags ? std::optional(flags->offset) : std::nullopt;
}

}  // namespace

Result<PageLayout> page_layout_of(const Btf& btf) {
  constexpr const char* node = "mem_cgroup_per_node";
  constexpr std::uint32_t page_bytes = cgctl_folio_words * sizeof(std::uint64_t);
  PageLayout at{};
  std::string missing = find_page_fields(btf, at);
  auto generations = btf.field(node, "lruvec.lrugen.folios");
  if (!generations) generations = btf.field(node, "lruvec.lrugen.lists");
  if (generations) {
    at.generations = generations->offset;
    at.generations_bytes = generations->size;
  }
  const auto order = find_order(btf);
  const auto head = btf.value("pageflags", "PG_head");
  const auto dirty = btf.value("pageflags", "PG_dirty");
  const auto swappable = btf.value("pageflags", "PG_swapbacked");
  if (!order || !head || !dirty || !swappable) missing = "pageflags";
  for (const std::uint32_t place : {at.link, at.mapping, at.index, at.owner}) {
    if (place >= page_bytes || place % sizeof(std::uint64_t) != 0) missing = "page";
  }
  const auto css = btf.field("mem_cgroup", "css");
  if (!css || css->offset != 0) missing = "mem_cgroup.css";
  if (!missing.empty()) {
    return fail(Error::make(errc::unsupported, "find the files of removed cgroups",
                            "/sys/kernel/btf/vmlinux",
                            "this kernel's structures are not known here: " + missing));
  }
  at.order = *order;
  at.head_bit = static_cast<std::uint32_t>(*head);
  at.dirty_bit = static_cast<std::uint32_t>(*dirty);
  at.swappable_bit = static_cast<std::uint32_t>(*swappable);
  return at;
}

}  // namespace cgctl::kernel
