// SPDX-FileCopyrightText: The cgctl authors
// SPDX-License-Identifier: MIT
#include "kernel/layout.hpp"

#include <algorithm>
#include <iterator>
#include <string>

#include "kernel/hints.hpp"

namespace cgctl::kernel {
namespace {

constexpr unsigned pointer_bytes = 8;

// Since Linux 6.10 a memory cgroup keeps some counters only, in the order of memcg_node_stat_items
// and memcg_stat_items in mm/memcontrol.c; kernels that lack one do not leave a gap.
constexpr const char* node_items[] = {"NR_INACTIVE_ANON",
                                      "NR_ACTIVE_ANON",
                                      "NR_INACTIVE_FILE",
                                      "NR_ACTIVE_FILE",
                                      "NR_UNEVICTABLE",
                                      "NR_SLAB_RECLAIMABLE_B",
                                      "NR_SLAB_UNRECLAIMABLE_B",
                                      "WORKINGSET_REFAULT_ANON",
                                      "WORKINGSET_REFAULT_FILE",
                                      "WORKINGSET_ACTIVATE_ANON",
                                      "WORKINGSET_ACTIVATE_FILE",
                                      "WORKINGSET_RESTORE_ANON",
                                      "WORKINGSET_RESTORE_FILE",
                                      "WORKINGSET_NODERECLAIM",
                                      "NR_ANON_MAPPED",
                                      "NR_FILE_MAPPED",
                                      "NR_FILE_PAGES",
                                      "NR_FILE_DIRTY",
                                      "NR_WRITEBACK",
                                      "NR_SHMEM"};
constexpr const char* own_items[] = {"MEMCG_SWAP",     "MEMCG_SOCK",        "MEMCG_PERCPU_B",
                                     "MEMCG_VMALLOC",  "MEMCG_KMEM",        "MEMCG_ZSWAP_B",
                                     "MEMCG_ZSWAPPED", "MEMCG_ZSWAP_INCOMP"};

struct Wanted {
  Counter counter;
  const char* name;
  const char* before;  // its name before Linux 5.9, which counted slab in pages
};

constexpr Wanted wanted_counters[] = {
    {Counter::inactive_anon, "NR_INACTIVE_ANON", ""},
    {Counter::active_anon, "NR_ACTIVE_ANON", ""},
    {Counter::inactive_file, "NR_INACTIVE_FILE", ""},
    {Counter::active_file, "NR_ACTIVE_FILE", ""},
    {Counter::unevictable, "NR_UNEVICTABLE", ""},
    {Counter::shmem, "NR_SHMEM", ""},
    {Counter::mapped, "NR_FILE_MAPPED", ""},
    {Counter::dirty, "NR_FILE_DIRTY", ""},
    {Counter::writeback, "NR_WRITEBACK", ""},
    {Counter::slab_reclaimable, "NR_SLAB_RECLAIMABLE_B", "NR_SLAB_RECLAIMABLE"},
    {Counter::slab_unreclaimable, "NR_SLAB_UNRECLAIMABLE_B", "NR_SLAB_UNRECLAIMABLE"},
    {Counter::swap, "MEMCG_SWAP", ""},
    {Counter::sockets, "MEMCG_SOCK", ""},
};

/// Looks fields up and remembers the first one that is missing.
class Finder {
 public:
  explicit Finder(const Btf& btf) : btf_(btf) {}

  std::uint32_t need(const char* structure, const char* path) {
    const auto found = btf_.field(structure, path);
    if (!found && missing_.empty()) missing_ = std::string(structure) + "." + path;
    return found ? found->offset : CGCTL_ABSENT;
  }
  [[nodiscard]] std::uint32_t maybe(const char* structure, const char* path) const {
    const auto found = btf_.field(structure, path);
    return found ? found->offset : CGCTL_ABSENT;
  }
  [[nodiscard]] const std::string& missing() const { return missing_; }

 private:
  const Btf& btf_;
  std::string missing_;
};

void find_css(Finder& find, cgctl_layout& at) {
  constexpr const char* css = "cgroup_subsys_state";
  at.css_cgroup = find.need(css, "cgroup");
  at.css_sibling = find.need(css, "sibling");
  at.css_children = find.need(css, "children");
  at.css_flags = find.need(css, "flags");
  at.css_serial = find.need(css, "serial_nr");
  at.css_parent = find.need(css, "parent");
  at.css_reference_data = find.maybe(css, "refcnt.data");
  at.reference_count = at.css_reference_data == CGCTL_ABSENT
                           ? find.need(css, "refcnt.count")
                           : find.need("percpu_ref_data", "count");
}

void find_counters(const Btf& btf, cgctl_layout& at) {
  const auto stats = btf.field("mem_cgroup", "vmstats");
  if (!stats) return;
  at.vmstats = stats->offset;
  at.vmstats_is_pointer = stats->pointer ? 1 : 0;
  const auto state = btf.field("memcg_vmstats", "state");
  at.state = state ? state->offset : 0;
  const std::uint32_t bytes = state ? state->size : stats->size;
  if (bytes < sizeof cgctl_record::state) at.state_bytes = bytes;
}

void find_lists(const Btf& btf, cgctl_layout& at) {
  constexpr const char* node = "mem_cgroup_per_node";
  const auto nodes = btf.field("mem_cgroup", "nodeinfo");
  const auto lists = btf.field(node, "lru_zone_size");
  const auto generations = btf.field(node, "lruvec.lrugen.nr_pages");
  if (!nodes || !lists || lists->size >= 8 * cgctl_lists) return;
  at.nodeinfo = nodes->offset;
  at.lists = lists->offset;
  at.lists_bytes = lists->size;
  if (generations && generations->size < 8 * cgctl_generations) {
    at.generations = generations->offset;
    at.generations_bytes = generations->size;
  }
}

std::optional<std::int64_t> item(const Btf& btf, const char* name) {
  const auto value = btf.value("node_stat_item", name);
  return value ? value : btf.value("memcg_stat_item", name);
}

using PackedNames = std::array<std::string_view, cgctl_states>;

/// Returns the counters that the kernel has, in the packed order; `size` of them in all. Those of
/// the memory cgroup alone are the last, whatever the kernel has added before them.
PackedNames packed_names(const Btf& btf, std::size_t size) {
  PackedNames names;
  std::size_t place = 0;
  for (const char* const one : node_items) {
    if (place < size && item(btf, one)) names[place++] = one;
  }
  place = size;
  for (std::size_t i = std::size(own_items); i > 0; --i) {
    if (place > 0 && item(btf, own_items[i - 1])) names[--place] = own_items[i - 1];
  }
  return names;
}

void find_slots(const Btf& btf, Layout& layout) {
  const std::size_t size = layout.fields.state_bytes / sizeof(std::int64_t);
  const auto all = item(btf, "MEMCG_NR_STAT");
  const bool packed = all && static_cast<std::size_t>(*all) > size;
  const PackedNames names = packed ? packed_names(btf, size) : PackedNames{};
  for (const Wanted& one : wanted_counters) {
    Slot& slot = layout.slots[static_cast<std::size_t>(one.counter)];
    const auto now = item(btf, one.name);
    const auto value = now ? now : item(btf, one.before);
    if (!value) continue;
    slot.bytes =
        now && std::string_view(one.name).substr(std::string_view(one.name).size() - 2) == "_B";
    slot.index = packed ? static_cast<std::size_t>(std::find(names.begin(), names.end(), one.name) -
                                                   names.begin())
                        : static_cast<std::size_t>(*value);
    if (slot.index >= size) slot.index = Slot::absent;
  }
}

}  // namespace

Result<Layout> layout_of(const Btf& btf) {
  Layout layout;
  Finder find(btf);
  cgctl_layout& at = layout.fields;
  const auto memory = btf.value("cgroup_subsys_id", "memory_cgrp_id");
  at.task_cgroups = find.need("task_struct", "cgroups");
  at.cset_memory = find.need("css_set", "subsys") +
                   pointer_bytes * static_cast<std::uint32_t>(memory.value_or(0));
  find_css(find, at);
  at.usage = find.need("mem_cgroup", "memory.usage");
  at.birth = find.maybe("mem_cgroup", "cgwb_domain.dirty_limit_tstamp");
  at.cgroup_kn = find.need("cgroup", "kn");
  at.kn_name = find.need("kernfs_node", "name");
  at.kn_id = find.need("kernfs_node", "id");
  find_counters(btf, at);
  find_lists(btf, at);
  find_slots(btf, layout);
  // Slab objects and, later, pages refer to an obj_cgroup, which moves to the parent. There is one
  // for each node since pages do.
  layout.slab_holds = !btf.size("obj_cgroup");
  layout.pages_move = btf.field("mem_cgroup_per_node", "objcg").has_value();
  layout.coarse_counters = !btf.size("memcg_vmstats");
  layout.zones = at.lists_bytes / (pointer_bytes * lru_lists);
  std::string missing = find.missing();
  if (!memory) missing = "memory_cgrp_id";
  if (missing.empty()) return layout;
  return fail(Error::make(errc::unsupported, "take a census", "/sys/kernel/btf/vmlinux",
                          "this kernel's structures are not known here: " + missing,
                          without_names));
}

}  // namespace cgctl::kernel
