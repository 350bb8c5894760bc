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

/// The keys of memory.stat, v1's without "total_", each with its unit. Not every kernel has each;
/// what is not among them is kept as unknown.
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
  bytes,   ///< of memory, now
  events,  ///< since the cgroup was made; of pages scanned or moved and the like
};

/// The kernel's name of a key.
std::string_view to_string(Key key) noexcept;
Unit unit_of(Key key) noexcept;
/// By its name, without "total_"; nothing for a name that is not in the list.
std::optional<Key> key_named(std::string_view name) noexcept;

/// The figures of one memory.stat, made to be reused: the next read overwrites it and allocates
/// only when the file has other lines than before.
class Stat {
 public:
  /// A line of a name that this library does not know, such as a newer kernel's.
  struct Unknown {
    std::string_view name;  ///< as in the file; valid until the next read into this object
    std::uint64_t value;
  };

  /// Of the cgroup and all below it: v2, and the total_ lines of v1. Absent where the file has no
  /// such line.
  [[nodiscard]] std::optional<std::uint64_t> operator[](Key key) const noexcept {
    return get(0, key);
  }
  /// Of the cgroup alone: v1; v2 does not tell.
  [[nodiscard]] std::optional<std::uint64_t> local(Key key) const noexcept { return get(1, key); }

  /// The number of lines left out because they are not "NAME NUMBER", such as a negative one.
  [[nodiscard]] std::size_t skipped_lines() const noexcept { return skipped_; }

  [[nodiscard]] std::size_t unknown_count() const noexcept { return unknown_.size(); }
  [[nodiscard]] Unknown unknown(std::size_t index) const noexcept {
    const Row& row = rows_[unknown_[index]];
    return {name_of(row), unknown_values_[index]};
  }

  /// Calls `visit(name, value)` for each line but the skipped ones, in the file's order, with the
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

  // Figures of the whole first, then v1's of the cgroup alone.
  static constexpr std::size_t slots = 2 * key_count;
  static constexpr std::uint16_t unknown_slot = slots;
  static constexpr std::uint16_t skipped_slot = slots + 1;

  /// What a line was in the last text; in the next one it is most likely the same.
  struct Row {
    std::uint16_t slot;
    std::uint16_t name_size;
    std::uint32_t name;  // in names_
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

  std::vector<char> text_;  // parse::padding bytes longer than any text in it
  std::array<std::uint64_t, slots> values_{};
  std::array<bool, slots> present_{};
  Version version_ = Version::v1;  // of rows_
  std::vector<Row> rows_;
  std::string names_;
  std::size_t skipped_ = 0;           // rows
  std::vector<std::size_t> unknown_;  // rows
  std::vector<std::uint64_t> unknown_values_;
};

/// Parses the text of a memory.stat. A line that is not "NAME NUMBER" is skipped and counted.
/// errc::truncated when the text is empty or ends inside a line, errc::malformed when no line has
/// that form.
[[nodiscard]] Status parse(std::string_view text, Version version, Stat& out);

/// Reads the memory.stat behind a descriptor that the caller keeps, from its beginning; `shown` is
/// its path in errors. See StatReader.
[[nodiscard]] Status read_stat(int fd, Version version, std::string_view shown, Stat& out);

/// Reads the memory.stat of one cgroup through a kept descriptor: one pread(2) a read, nothing
/// allocated once `out` has seen the file. Before Linux 5.2 (commit 42a300353577) each read sums
/// over all cgroups below, removed ones included.
class StatReader {
 public:
  [[nodiscard]] static Result<StatReader> open(const Group& group);
  /// errc::vanished once the cgroup is removed; else what parse() and the kernel say.
  [[nodiscard]] Status read(Stat& out) const { return read_stat(fd_.get(), version_, path_, out); }
  [[nodiscard]] Version version() const noexcept { return version_; }

 private:
  StatReader(UniqueFd fd, Version version, std::string path) noexcept;

  UniqueFd fd_;
  Version version_;
  std::string path_;
};

/// One read.
[[nodiscard]] Result<Stat> stat(const Group& group);

/// What Kubernetes calls the working set, its measure for evictions: the usage without inactive
/// file pages, not below 0.
std::uint64_t working_set(std::uint64_t usage, const Stat& stat) noexcept;

}  // namespace cgctl::memory
