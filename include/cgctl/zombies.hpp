// SPDX-FileCopyrightText: The cgctl authors
// SPDX-License-Identifier: MIT
#pragma once

#include <chrono>
#include <cstddef>
#include <cstdint>
#include <optional>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "cgctl/error.hpp"
#include "cgctl/host.hpp"
#include "cgctl/unique_fd.hpp"

/// Zombies: memory cgroups that were removed and that the kernel still holds, because pages refer
/// to them.
namespace cgctl::zombies {

/// How many there are.
struct Count {
  Version hierarchy = Version::v1;  ///< the memory controller's
  std::uint64_t kernel = 0;         ///< memory cgroups the kernel holds, the root included
  std::uint64_t live = 0;           ///< those with a directory, the root included
  /// The number lies in [low, high]. They differ when cgroups came and went faster than they could
  /// be counted.
  std::uint64_t low = 0;
  std::uint64_t high = 0;
  /// v2 before Linux 6.12 counts the dying cgroups of all controllers together; elsewhere true.
  bool memory_only = true;

  /// False when the kernel held fewer than there were directories at every try.
  bool agreed = true;

  [[nodiscard]] bool exact() const noexcept { return agreed && low == high; }
  /// The least number certain.
  [[nodiscard]] std::uint64_t zombies() const noexcept { return low; }
};

/// Counts the directories below one, again and again; not for concurrent use.
///
/// The first count lists each directory that has others inside. It opens no leaf (kernfs keeps
/// st_nlink = 2 + subdirectories, fs/kernfs/inode.c) and follows no link. It keeps names and inode
/// numbers, some 100 to 200 bytes for each cgroup with a name as long as those of containers, so
/// that a later count lists only what has changed: a directory that has as many inside as st_nlink
/// says, all of them known ones, has no others. That is one fstatat(2) for each directory; one with
/// others inside that is not kept open is opened and closed besides. At most some 30 of these are
/// open at a time, however deep they are. A file system that does not count links so (st_nlink 1)
/// is listed each time.
class DirectoryCounter {
 public:
  /// Keeps at most so many directories open between counts, those with others inside; a mount that
  /// has one is busy (EBUSY from umount(2)). All are given up for good where the process has no
  /// other descriptors (EMFILE).
  explicit DirectoryCounter(std::size_t descriptors = 0) noexcept;
  DirectoryCounter(DirectoryCounter&&) noexcept;
  DirectoryCounter& operator=(DirectoryCounter&&) noexcept;
  DirectoryCounter(const DirectoryCounter&) = delete;
  DirectoryCounter& operator=(const DirectoryCounter&) = delete;
  ~DirectoryCounter();

  /// The number of directories below `directory`, itself included; `shown` is its path in errors.
  [[nodiscard]] Result<std::uint64_t> count(int directory, std::string_view shown);

 private:
  struct Directory;
  class Walk;
  [[nodiscard]] int count_known(int directory);

  std::vector<Directory> known_;  // the first one, once counted
  std::size_t descriptors_;
  std::uint64_t counts_ = 0;
};

/// Counts with kept descriptors, for those who count again and again; not for concurrent use.
///
/// v1: the memory row of /proc/cgroups (removed cgroups included) less the directories of the
/// hierarchy, see DirectoryCounter. The number is read before and after the walk, and the walk
/// repeated while the two differ. v2: `cgroup.stat` of the root (since Linux 4.14), one read;
/// nr_dying_subsys_memory where there is one (6.12).
class Counter {
 public:
  /// errc::incomplete_view in a cgroup namespace or when only a part of the hierarchy is mounted:
  /// the difference would be meaningless. errc::unsupported without a memory controller, or on v2
  /// before Linux 4.14. `descriptors`: how many directories of v1 to keep open, see
  /// DirectoryCounter.
  [[nodiscard]] static Result<Counter> open(const Host& host, std::size_t descriptors = 0);

  /// At most `rounds` walks (at least 1).
  [[nodiscard]] Result<Count> count(unsigned rounds = 5);

 private:
  Counter(Host host, const Hierarchy& hierarchy, UniqueFd source, std::string path,
          DirectoryCounter directories) noexcept;
  [[nodiscard]] Result<Count> count_v1(unsigned rounds);
  [[nodiscard]] Result<Count> count_v2();
  [[nodiscard]] Result<std::uint64_t> kernel_count();

  Host host_;
  const Hierarchy* hierarchy_;  // of host_
  UniqueFd source_;             // /proc/cgroups, or the root's cgroup.stat
  std::string path_;            // of source_
  std::vector<char> text_;
  DirectoryCounter directories_;
};

/// One count. See Counter.
[[nodiscard]] Result<Count> count(const Host& host);

/// One count. See DirectoryCounter.
[[nodiscard]] Result<std::uint64_t> count_directories(int directory, std::string_view shown);

/// Zombies that hang directly below one live cgroup.
struct Ancestor {
  std::string path;
  std::optional<std::uint64_t> count;  ///< v2 only; no file of v1 tells
  /// Memory still charged to them. v1: what the cgroup's total_* of cache and rss in memory.stat
  /// leave when its own and its live children's are taken off. v2: an upper bound, memory.current
  /// less the live children's, since the cgroup's own pages cannot be told from its dead
  /// children's. Nothing where the kernel does not say (v1 with memory.use_hierarchy 0; the root of
  /// v2).
  std::optional<std::uint64_t> bytes;
};

/// What the pages of all zombies together are: the per-node counters of the machine less what live
/// cgroups own. In bytes. Estimates: the figures are read one after the other and drift.
struct Residual {
  std::uint64_t file = 0;         ///< page cache on the file LRU, tmpfs not included
  std::uint64_t shmem = 0;        ///< tmpfs and shared memory
  std::uint64_t mapped = 0;       ///< of file and shmem: mapped by processes
  std::uint64_t anon = 0;         ///< on the anonymous LRU, shmem included
  std::uint64_t unevictable = 0;  ///< mlocked
  /// What dropping clean page cache could free at most, after writing dirty pages back. `mapped`
  /// does not tell files from shmem: here all shmem counts as mapped.
  [[nodiscard]] std::uint64_t freeable() const noexcept {
    const std::uint64_t mapped_file = mapped > shmem ? mapped - shmem : 0;
    return file > mapped_file ? file - mapped_file : 0;
  }
  /// What it frees at least: here no shmem counts as mapped.
  [[nodiscard]] std::uint64_t surely_freeable() const noexcept {
    return file > mapped ? file - mapped : 0;
  }
};

/// Whether dentries and inodes, charged to a memory cgroup, hold it after its removal. Before
/// Linux 5.9 they do; since then slab objects move to the parent. Told by what
/// `memory.kmem.slabinfo` of v1 says, not by the version.
enum class SlabPins { unknown, no, yes };

struct Attribution {
  std::vector<Ancestor> ancestors;   ///< those with something to say, most first
  std::optional<Residual> residual;  ///< v1 only
  SlabPins slab = SlabPins::unknown;
  bool complete = true;  ///< false when the time ran out
  /// Cgroups not looked at because the time ran out, or whose figures could not be read; with any,
  /// what depends on them is unknown and there is no residual.
  std::uint64_t skipped = 0;
  std::optional<Error> failure;  ///< why the first file that could not be read could not
};

/// Limits of an attribution, which reads one or two files of each live cgroup.
struct AttributionLimits {
  std::chrono::nanoseconds total = std::chrono::seconds(1);
  /// One read slower than this ends the attribution: before Linux 5.2 memory.stat walks too.
  std::chrono::nanoseconds slowest_read = std::chrono::milliseconds(20);
};

/// Where the zombies hang, and what pins them. Same refusals as Counter.
[[nodiscard]] Result<Attribution> attribute(const Host& host, const AttributionLimits& limits = {});

}  // namespace cgctl::zombies
