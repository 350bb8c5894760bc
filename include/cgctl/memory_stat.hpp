// SPDX-FileCopyrightText: The cgctl authors
// SPDX-License-Identifier: MIT
#pragma once

#include <array>
#include <cstddef>
#include <cstdint>
#include <optional>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "cgctl/error.hpp"
#include "cgctl/group.hpp"
#include "cgctl/parse.hpp"
#include "cgctl/unique_fd.hpp"

/// `memory.stat` of a cgroup (cgroup-v1/memory.rst section 5.2, cgroup-v2.rst "memory.stat").
namespace cgctl::memory {

/// The known keys of memory.stat (v1's without "total_") with their units. A kernel may lack some;
/// other keys are kept as Stat::Unknown.
// clang-format off
#define CGCTL_MEMORY_KEYS(bytes, events) \
  bytes(cache) bytes(rss) bytes(rss_huge) bytes(mapped_file) bytes(dirty) bytes(writeback) \
  bytes(swap) bytes(hierarchical_memory_limit) bytes(hierarchical_memsw_limit) bytes(anon) \
  bytes(file) bytes(kernel) bytes(kernel_stack) bytes(pagetables) bytes(sec_pagetables) \
  bytes(percpu) bytes(sock) bytes(vmalloc) bytes(shmem) bytes(zswap) bytes(zswapped) \
  bytes(zswap_incomp) bytes(file_mapped) bytes(file_dirty) bytes(file_writeback) \
  bytes(swapcached) bytes(anon_thp) bytes(file_thp) bytes(shmem_thp) bytes(inactive_anon) \
  bytes(active_anon) bytes(inactive_file) bytes(active_file) bytes(unevictable) \
  bytes(slab_reclaimable) bytes(slab_unreclaimable) bytes(slab) bytes(hugetlb) events(pgpgin) \
  events(pgpgout) events(pgfault) events(pgmajfault) events(workingset_refault) \
  events(workingset_refault_anon) events(workingset_refault_file) events(workingset_activate) \
  events(workingset_activate_anon) events(workingset_activate_file) events(workingset_restore) \
  events(workingset_restore_anon) events(workingset_restore_file) events(workingset_nodereclaim) \
  events(pgscan) events(pgsteal) events(pgscan_kswapd) events(pgscan_direct) \
  events(pgscan_khugepaged) events(pgscan_proactive) events(pgsteal_kswapd) \
  events(pgsteal_direct) events(pgsteal_khugepaged) events(pgsteal_proactive) events(pgrefill) \
  events(pgactivate) events(pgdeactivate) events(pglazyfree) events(pglazyfreed) events(pswpin) \
  events(pswpout) events(swpin_zero) events(swpout_zero) events(zswpin) events(zswpout) \
  events(zswpwb) events(thp_fault_alloc) events(thp_collapse_alloc) events(thp_swpout) \
  events(thp_swpout_fallback) events(numa_pages_migrated) events(numa_pte_updates) \
  events(numa_hint_faults) events(numa_task_migrated) events(numa_task_swapped) \
  events(pgdemote_kswapd) events(pgdemote_direct) events(pgdemote_khugepaged) \
  events(pgdemote_proactive) events(pgpromote_success)

#define CGCTL_MEMORY_KEY_NAME(name) name,
enum class Key : std::uint8_t { CGCTL_MEMORY_KEYS(CGCTL_MEMORY_KEY_NAME, CGCTL_MEMORY_KEY_NAME) };
#undef CGCTL_MEMORY_KEY_NAME
// clang-format on
inline constexpr std::size_t key_count = static_cast<std::size_t>(Key::pgpromote_success) + 1;

enum class Unit {
  bytes,   ///< bytes of memory, now
  events,  ///< a number since the cgroup was made, for example of pages scanned or moved
};

/// Returns the kernel's name of a key.
std::string_view to_string(Key key) noexcept;
Unit unit_of(Key key) noexcept;
/// Returns the key of that name (without "total_"); nothing if the name is unknown.
std::optional<Key> key_named(std::string_view name) noexcept;

/// The figures of one memory.stat. Reuse the object: the next read overwrites it and allocates only
/// if the file's lines have changed.
class Stat {
 public:
  /// A line whose name this library does not know, for example from a newer kernel.
  struct Unknown {
    std::string_view name;  ///< the file's name; valid until the next read into this object
    std::uint64_t value;
  };

  /// Returns the figure of the cgroup and all below: v2, and the total_ lines of v1. Absent if the
  /// file has no such line.
  [[nodiscard]] std::optional<std::uint64_t> operator[](Key key) const noexcept {
    return get(0, key);
  }
  /// Returns the figure of the cgroup alone: v1 only; absent on v2.
  [[nodiscard]] std::optional<std::uint64_t> local(Key key) const noexcept { return get(1, key); }

  /// A figure of the cgroup and all below.
  struct Figure {
    Key key;
    std::uint64_t value;
  };
  /// Replaces the figures by `count` others, for a source other than the file. Allocates only if
  /// there are more of them than ever before.
  void assign(Version version, const Figure* first, std::size_t count);

  /// Returns the number of lines left out because they are not "NAME NUMBER", for example with a
  /// negative number.
  [[nodiscard]] std::size_t skipped_lines() const noexcept { return skipped_; }

  [[nodiscard]] std::size_t unknown_count() const noexcept { return unknown_.size(); }
  [[nodiscard]] Unknown unknown(std::size_t index) const noexcept {
    const Row& row = rows_[unknown_[index]];
    return {name_of(row), unknown_values_[index]};
  }

  /// Calls `visit(name, value)` for each line that was not skipped, in the file's order, with the
  /// file's names.
  template <class Visit>
  void each(Visit visit) const {
    std::size_t next_unknown = 0;
    for (const Row& row : rows_) {
      if (row.slot == skipped_slot) continue;
      visit(name_of(row),
            row.slot == unknown_slot ? unknown_values_[next_unknown++] : values_[row.slot]);
    }
  }

 private:
  friend Status parse(std::string_view text, Version version, Stat& out);
  friend Status read_stat(int fd, Version version, std::string_view shown, Stat& out);

  // First the figures of the cgroup and all below, then v1's of the cgroup alone.
  static constexpr std::size_t slots = 2 * key_count;
  static constexpr std::uint16_t unknown_slot = slots;
  static constexpr std::uint16_t skipped_slot = slots + 1;

  /// The layout of one line of the last text. The next text most likely has the same layout.
  struct Row {
    std::uint16_t slot;
    std::uint16_t name_size;
    std::uint32_t name;  // offset in names_
  };

  [[nodiscard]] std::optional<std::uint64_t> get(std::size_t table, Key key) const noexcept {
    const std::size_t slot = table * key_count + static_cast<std::size_t>(key);
    if (!present_[slot]) return std::nullopt;
    return values_[slot];
  }
  [[nodiscard]] std::string_view name_of(const Row& row) const noexcept {
    return std::string_view(names_).substr(row.name, row.name_size);
  }
  [[nodiscard]] Status parse_rows(std::string_view text, Version version, std::string_view shown);
  [[nodiscard]] bool parse_as_learnt(std::string_view text);
  void learn(std::string_view text, Version version);
  [[nodiscard]] std::size_t slot_of(std::string_view name, Version version) const;

  std::vector<char> text_;  // the last text and parse::padding bytes
  std::array<std::uint64_t, slots> values_{};
  std::array<bool, slots> present_{};
  Version version_ = Version::v1;  // version of rows_
  std::vector<Row> rows_;
  std::string names_;
  std::size_t skipped_ = 0;           // number of skipped rows
  std::vector<std::size_t> unknown_;  // indexes of unknown rows
  std::vector<std::uint64_t> unknown_values_;
};

/// Parses the text of a memory.stat. A line that is not "NAME NUMBER" is skipped and counted.
/// errc::truncated if the text is empty or ends inside a line, errc::malformed if no line has that
/// form.
[[nodiscard]] Status parse(std::string_view text, Version version, Stat& out);

/// Reads memory.stat from its beginning through a descriptor that the caller keeps; `shown` is its
/// path in errors. See StatReader.
[[nodiscard]] Status read_stat(int fd, Version version, std::string_view shown, Stat& out);

/// Reads the memory.stat of one cgroup through a kept descriptor. A read makes one pread(2) and
/// allocates nothing once `out` has seen the file. Before Linux 5.2 (commit 42a300353577) the
/// kernel sums over all cgroups below, including removed ones, at each read.
class StatReader {
 public:
  [[nodiscard]] static Result<StatReader> open(const Group& group);
  /// Reads the figures. errc::vanished once the cgroup is removed; otherwise the errors of parse()
  /// and of pread(2).
  [[nodiscard]] Status read(Stat& out) const { return read_stat(fd_.get(), version_, path_, out); }
  [[nodiscard]] Version version() const noexcept { return version_; }

 private:
  StatReader(UniqueFd fd, Version version, std::string path) noexcept;

  UniqueFd fd_;
  Version version_;
  std::string path_;
};

/// Reads a cgroup's memory.stat once.
[[nodiscard]] Result<Stat> stat(const Group& group);

/// Returns the working set as Kubernetes defines it for evictions: the usage less inactive file
/// pages, at least 0.
std::uint64_t working_set(std::uint64_t usage, const Stat& stat) noexcept;

}  // namespace cgctl::memory
