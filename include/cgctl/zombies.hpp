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

namespace cgctl::census {
class Census;
}

/// Counts zombies and finds their causes. A zombie is a memory cgroup that was removed but that the
/// kernel still holds, because pages refer to it.
namespace cgctl::zombies {

/// The source of a count.
enum class CountSource {
  kernel,       ///< v2: the kernel counts live and removed cgroups itself
  directories,  ///< v1: the kernel's number less the number of directories, see DirectoryCounter
  census,       ///< v1: live and removed cgroups are counted in the kernel, see census::Census
};

std::string_view to_string(CountSource source) noexcept;  ///< "kernel", "directories", "census"

/// The number of zombies.
struct Count {
  Version hierarchy = Version::v1;  ///< version of the memory controller
  std::uint64_t kernel = 0;         ///< memory cgroups the kernel holds, the root included
  std::uint64_t live = 0;           ///< memory cgroups with a directory, the root included
  /// The number of zombies lies in [low, high]. The two differ if cgroups were made and removed
  /// faster than they could be counted.
  std::uint64_t low = 0;
  std::uint64_t high = 0;
  /// False on v2 before Linux 6.12, which counts the offline cgroups of all controllers together.
  bool memory_only = true;

  /// False if at every try the kernel held fewer memory cgroups than there were directories.
  bool agreed = true;
  CountSource source = CountSource::kernel;

  [[nodiscard]] bool exact() const noexcept { return agreed && low == high; }
  /// Returns the lowest number that is certain.
  [[nodiscard]] std::uint64_t zombies() const noexcept { return low; }
};

/// Counts the directories below a directory, repeatedly. Not for concurrent use.
///
/// The first count lists each directory that has subdirectories. It opens no leaf (kernfs keeps
/// st_nlink = 2 + subdirectories, fs/kernfs/inode.c) and follows no link. It keeps names and inode
/// numbers, some 100 to 200 bytes for a cgroup with a name as long as a container's. A later count
/// lists only directories that have changed: if all known subdirectories still exist and st_nlink
/// gives the same number, there are no others. This takes one fstatat(2) for each directory; a
/// directory with subdirectories that is not kept open is also opened and closed. At most some 30
/// directories are open at a time, at any depth of the tree. On a file system without such link
/// counts (st_nlink 1) every count lists all directories.
class DirectoryCounter {
 public:
  /// `descriptors` is the most directories to keep open between counts, of those that have
  /// subdirectories. A mount with an open directory is busy (EBUSY from umount(2)). If the process
  /// runs out of descriptors (EMFILE), all are closed and none is kept from then on.
  explicit DirectoryCounter(std::size_t descriptors = 0) noexcept;
  DirectoryCounter(DirectoryCounter&&) noexcept;
  DirectoryCounter& operator=(DirectoryCounter&&) noexcept;
  DirectoryCounter(const DirectoryCounter&) = delete;
  DirectoryCounter& operator=(const DirectoryCounter&) = delete;
  ~DirectoryCounter();

  /// Returns the number of directories at and below `directory`; `shown` is its path in errors.
  [[nodiscard]] Result<std::uint64_t> count(int directory, std::string_view shown);

 private:
  struct Directory;
  class Walk;
  [[nodiscard]] int count_known(int directory);

  std::vector<Directory> known_;  // [0] is the counted directory; empty before the first count
  std::size_t descriptors_;
  std::uint64_t counts_ = 0;
};

/// Counts zombies repeatedly through kept descriptors. Not for concurrent use.
///
/// v1: the number in the memory row of /proc/cgroups, which includes removed cgroups, less the
/// number of directories in the hierarchy, see DirectoryCounter. /proc/cgroups is read before and
/// after the walk, and the walk is repeated while the two numbers differ. v2: one read of the
/// root's `cgroup.stat` (since Linux 4.14); nr_dying_subsys_memory if it is there (6.12).
///
/// On v1 a census can take the place of the directories. It costs some 0.3 us for each live and
/// removed cgroup instead of a system call for each live one, but opening it costs 50 ms and 15 us
/// for each live one. Both sources give the same number, but for cgroups whose last reference has
/// just gone: the kernel takes them from its tree at once, where a census counts, and from
/// /proc/cgroups when their memory is freed, milliseconds and under load up to some seconds later.
/// A census is never above the number by directories, and the two are equal when no cgroup was made
/// or released for that long.
class Counter {
 public:
  enum class Use {
    /// Directories at first. A census from the time on when directories have taken as long as
    /// opening one does, if it is faster; directories again if it is refused or gets slower.
    cheapest,
    directories,  ///< never a census
    census,       ///< always a census; v2 has no use for it
  };

  /// Opens the files. `descriptors` is the number of v1 directories to keep open, see
  /// DirectoryCounter. errc::incomplete_view in a cgroup namespace or if only a part of the
  /// hierarchy is mounted, because the difference would be meaningless. errc::unsupported without a
  /// memory controller, or on v2 before Linux 4.14. With Use::census also the errors of
  /// census::Census::open().
  [[nodiscard]] static Result<Counter> open(const Host& host, std::size_t descriptors = 0,
                                            Use use = Use::cheapest);
  Counter(Counter&&) noexcept;
  Counter& operator=(Counter&&) noexcept;
  Counter(const Counter&) = delete;
  Counter& operator=(const Counter&) = delete;
  ~Counter();

  /// Counts with at most `rounds` walks (at least 1).
  [[nodiscard]] Result<Count> count(unsigned rounds = 5);

 private:
  Counter(Host host, const Hierarchy& hierarchy, UniqueFd source, std::string path,
          DirectoryCounter directories, Use use) noexcept;
  [[nodiscard]] Result<Count> count_v1(unsigned rounds);
  [[nodiscard]] Result<Count> count_directories(unsigned rounds);
  [[nodiscard]] Result<Count> count_census();
  [[nodiscard]] Result<Count> count_v2();
  [[nodiscard]] Result<std::uint64_t> kernel_count();
  [[nodiscard]] Status open_census();
  void close_census() noexcept;

  Host host_;
  const Hierarchy* hierarchy_;  // belongs to host_
  UniqueFd source_;             // /proc/cgroups, or the root's cgroup.stat
  std::string path_;            // of source_
  std::vector<char> text_;
  DirectoryCounter directories_;
  Use use_;
  std::vector<census::Census> census_;  // one, or none
  // Time of the last count of directories, and of all since a census was last open or refused.
  std::chrono::nanoseconds last_{};
  std::chrono::nanoseconds spent_{};
  unsigned refusals_ = 0;
  bool pays_ = false;  // the next count takes a census
  // The counts by the open census: their number, and the fastest, which no interruption delayed.
  std::chrono::nanoseconds fastest_{};
  unsigned counts_ = 0;
};

/// Counts the zombies once. See Counter.
[[nodiscard]] Result<Count> count(const Host& host);

/// Counts the directories once. See DirectoryCounter.
[[nodiscard]] Result<std::uint64_t> count_directories(int directory, std::string_view shown);

/// The sources of an attribution, the best first.
enum class Source {
  census,       ///< census::Census: the removed cgroups themselves, with their own pages
  page_flags,   ///< /proc/kpagecgroup and /proc/kpageflags: the cgroup and the kind of each page
  memory_stat,  ///< files of live cgroups such as memory.stat: estimates
};

std::string_view to_string(Source source) noexcept;  ///< "census", "page_flags", "memory_stat"

/// Bytes of zombies, by kind of page.
struct Residual {
  std::uint64_t file = 0;         ///< page cache on the file LRU, tmpfs not included
  std::uint64_t shmem = 0;        ///< tmpfs and shared memory
  std::uint64_t mapped = 0;       ///< part of file and shmem mapped by processes
  std::uint64_t anon = 0;         ///< on the anonymous LRU, shmem included
  std::uint64_t unevictable = 0;  ///< mlocked
  /// Returns the bytes on LRU lists. `shmem` and `mapped` are parts of them.
  [[nodiscard]] std::uint64_t total() const noexcept { return file + anon + unevictable; }
  /// Returns the most bytes that dropping clean page cache could free, after dirty pages are
  /// written back. `mapped` covers both files and shmem; this upper bound assumes that all shmem is
  /// mapped.
  [[nodiscard]] std::uint64_t freeable() const noexcept {
    const std::uint64_t mapped_file = mapped > shmem ? mapped - shmem : 0;
    return file > mapped_file ? file - mapped_file : 0;
  }
  /// Returns the least bytes that it frees: this lower bound assumes that no shmem is mapped.
  [[nodiscard]] std::uint64_t surely_freeable() const noexcept {
    return file > mapped ? file - mapped : 0;
  }
};

/// Zombies that hold about as much.
struct SizeClass {
  std::uint64_t count = 0;
  std::uint64_t bytes = 0;  ///< of all of them together
};

/// The zombies whose nearest live ancestor is one cgroup.
struct Ancestor {
  std::string path;
  std::optional<std::uint64_t> count;  ///< absent on v1 without a census
  /// Bytes still charged to these zombies. A census tells the pages on their LRU lists. The other
  /// sources tell, on v1, the cgroup's pages less its own: by memory.stat total_cache and
  /// total_rss less its own and its live children's. On v2 they tell an upper bound, because
  /// the cgroup's own pages cannot be told from those of its removed children: by the flags of
  /// pages those charged to it, by memory.stat memory.current less the live children's. Absent if
  /// the source has no such figures (memory.stat of v1 with memory.use_hierarchy 0, or of v2's
  /// root).
  std::optional<std::uint64_t> bytes;
  std::optional<Residual> pages = {};  ///< the bytes by kind; absent by memory.stat
  /// The zombies by the page cache that each holds: those without, and classes of at most twice the
  /// size. By a census only.
  std::vector<SizeClass> page_cache = {};
};

/// Tells whether dentries and inodes hold a removed memory cgroup. Before Linux 5.9 those charged
/// to it do; since then slab objects move to the parent. On v2 before Linux 5.14 an inode that was
/// dirty does too, by its writeback structure. Without a census, determined from v1's
/// `memory.kmem.slabinfo`, not from the kernel version.
enum class SlabPins { unknown, no, yes };

struct Attribution {
  std::vector<Ancestor> ancestors;  ///< ancestors with figures, the largest first
  /// All zombies together. By memory.stat on v1 only, the machine's counters less those of live
  /// cgroups; by the flags of pages absent on v2 if live cgroups' own pages are among them.
  std::optional<Residual> residual;
  SlabPins slab = SlabPins::unknown;
  bool complete = true;  ///< false if the time ran out
  /// Number of cgroups that were not examined because the time ran out, or whose figures could not
  /// be read. If there are any, figures that depend on them are unknown and there is no residual.
  std::uint64_t skipped = 0;
  std::optional<Error> failure;  ///< error of the first file that could not be read
  Source source = Source::memory_stat;
  std::vector<Error> why_not;  ///< why each better source was not used; empty for a captured tree
};

/// Limits of an attribution. They do not apply to a census, which takes some 20 ms and its proof,
/// one read of a file of each live cgroup; where cgroups come and go the proof is repeated, for up
/// to three seconds. The other sources read one or two files of each live cgroup.
struct AttributionLimits {
  std::chrono::nanoseconds total = std::chrono::seconds(1);
  /// A single read slower than this ends the attribution: before Linux 5.2 memory.stat also visits
  /// every cgroup below.
  std::chrono::nanoseconds slowest_read = std::chrono::milliseconds(20);
  Source best = Source::census;  ///< the best source to try
  /// Most CPU time for the flags of pages, some 0.1 to 0.25 us a page: 1.5 s on a machine of 24
  /// GiB. If a sample of them predicts more, memory.stat is used. 0: they are not read.
  std::chrono::nanoseconds page_flags = std::chrono::seconds(2);
  /// Largest share of a CPU, in percent, that reading the flags of pages takes: less than 100 for a
  /// program that nobody waits for, which then pauses after each millisecond.
  unsigned page_flags_percent = 100;
  /// A pause, made only if a cgroup of v1 may seem to have zombies below it because its counters
  /// lag, as they do for two seconds. 0: such cgroups are left out.
  std::chrono::nanoseconds settle = std::chrono::milliseconds(2100);
  const char* offsets_file = "";  ///< census::Options::offsets_file
};

/// Finds the live ancestors of the zombies and the pages that pin them, by the best source there
/// is; by memory.stat in a captured tree. Fails for the same reasons as Counter::open().
[[nodiscard]] Result<Attribution> attribute(const Host& host, const AttributionLimits& limits = {});

}  // namespace cgctl::zombies
