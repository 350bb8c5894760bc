// SPDX-FileCopyrightText: The cgctl authors
// SPDX-License-Identifier: MIT
#pragma once

#include <array>
#include <chrono>
#include <cstddef>
#include <cstdint>
#include <memory>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "cgctl/error.hpp"
#include "cgctl/host.hpp"

namespace cgctl::kernel {
class Walker;
}

/// A census names every memory cgroup that the kernel holds, removed ones included. A BPF program
/// walks the kernel's own tree and only reads. Nothing is attached to the kernel.
namespace cgctl::census {

/// The memory charged to one cgroup itself, in bytes. The LRU lists are exact except for new pages,
/// of which each CPU holds back up to 31 (mm/swap.c). They are counters too where more
/// than eight NUMA nodes have memory (Snapshot::nodes is 0). Counters lag by up to two seconds
/// since Linux 5.13, and before that by up to 32 pages for each CPU.
struct Memory {
  std::uint64_t file = 0;         ///< page cache on LRU lists, without tmpfs
  std::uint64_t anon = 0;         ///< on anonymous LRU lists: anonymous memory and tmpfs
  std::uint64_t unevictable = 0;  ///< on the unevictable LRU list: locked in memory
  std::uint64_t shmem = 0;        ///< counter: tmpfs and shared memory
  std::uint64_t mapped = 0;       ///< counter: file and tmpfs pages mapped by processes
  std::uint64_t dirty = 0;        ///< counter: not yet written back
  std::uint64_t writeback = 0;    ///< counter: being written back
  std::uint64_t slab = 0;         ///< counter: slab objects; they hold a cgroup before Linux 5.9
  std::uint64_t swap = 0;         ///< counter: swapped out
  std::uint64_t sockets = 0;      ///< counter: socket buffers
};

/// Counters that the kernel keeps for a cgroup and all below it, as lines of memory.stat (on v1 the
/// lines with "total_").
enum class Counter : std::uint8_t {
  inactive_anon,
  active_anon,
  inactive_file,
  active_file,
  unevictable,
  shmem,
  mapped,     ///< v1: mapped_file, v2: file_mapped
  dirty,      ///< v2: file_dirty
  writeback,  ///< v2: file_writeback
  slab_reclaimable,
  slab_unreclaimable,
  swap,
  sockets,  ///< v2: sock
};
inline constexpr std::size_t counters = 13;
using Counters = std::array<std::int64_t, counters>;  ///< bytes, by Counter

/// The memory charged to one cgroup itself on one NUMA node, in bytes: the lines of v1's
/// memory.numa_stat. Exact except for new pages, see Memory.
struct Pages {
  std::uint64_t file = 0;
  std::uint64_t anon = 0;
  std::uint64_t unevictable = 0;
};

/// The figures that a census reads; a figure that is left out saves its part of the time. The place
/// in the tree, state, inode, references, usage and age are always read.
struct Wanted {
  bool names = true;
  bool pages = true;     ///< the LRU lists: file, anon and unevictable of Cgroup::own
  bool counters = true;  ///< the other figures of Cgroup::own, and Snapshot::counter()
  bool nodes = false;    ///< the LRU lists by NUMA node also: Snapshot::on_node()
};

/// The number of memory cgroups, the root included.
struct Count {
  std::uint64_t live = 0;
  std::uint64_t dead = 0;  ///< removed, and held by references
};

/// One memory cgroup.
struct Cgroup {
  std::size_t parent = 0;    ///< its place in Snapshot::cgroups; the root's is its own
  std::string_view name;     ///< raw bytes; empty for the root. Valid as long as the snapshot
  bool live = false;         ///< false: removed, and held by references
  std::uint64_t inode = 0;   ///< that its directory has or had
  std::uint64_t serial = 0;  ///< grows with each cgroup made, never reused
  /// To a removed one, 1 if it was removed just now; 0 for a live one, whose references the kernel
  /// does not count.
  std::uint64_t references = 0;
  std::uint64_t usage = 0;    ///< memory.usage_in_bytes or memory.current, those below included
  std::uint64_t address = 0;  ///< of its css in the kernel, for FileFinder; not to be shown
  Memory own;
  std::optional<std::chrono::seconds> age;  ///< since it was made; v1 only
};

/// All memory cgroups at one time, each after its parent.
class Snapshot {
 public:
  Snapshot() = default;
  Snapshot(Snapshot&&) = default;
  Snapshot& operator=(Snapshot&&) = default;
  Snapshot(const Snapshot&) = delete;
  Snapshot& operator=(const Snapshot&) = delete;
  ~Snapshot() = default;

  std::vector<Cgroup> cgroups;
  bool slab_holds = false;  ///< slab objects hold a removed cgroup: before Linux 5.9
  /// The pages of a removed cgroup move to its parent: since Linux 7.1. Its `own` is out of date
  /// then.
  bool pages_move = false;
  bool coarse_counters = false;  ///< counters move in steps of 32 pages a CPU: before Linux 5.13
  unsigned nodes = 0;            ///< NUMA nodes whose LRU lists were read; 0: none
  std::vector<unsigned> node_numbers;  ///< the kernel's numbers of these nodes, ascending
  std::size_t runs = 0;                ///< of the BPF program
  std::chrono::nanoseconds
      longest_run{};  ///< longest time that one run held the CPU, system call included

  /// "/a/b", raw bytes.
  [[nodiscard]] std::string path(std::size_t cgroup) const;
  /// The memory that holds a removed cgroup: its `own` without the kinds that hold none on this
  /// kernel.
  [[nodiscard]] Memory holding(std::size_t cgroup) const;

  /// Returns a counter of the cgroup and all below it, in bytes, if counters were wanted. 0 if the
  /// kernel has no such counter.
  [[nodiscard]] std::uint64_t counter(std::size_t cgroup, Counter which) const noexcept {
    const std::int64_t value = counters_[cgroup][static_cast<std::size_t>(which)];
    return value > 0 ? static_cast<std::uint64_t>(value) : 0;
  }
  /// Returns the pages of the cgroup itself on the node `node_numbers[node]`, if Wanted::nodes was
  /// set.
  [[nodiscard]] const Pages& on_node(std::size_t cgroup, unsigned node) const noexcept {
    return by_node_[cgroup * nodes + node];
  }
  /// Forgets the cgroups, and keeps their memory for the next census.
  void clear() noexcept;

 private:
  friend class kernel::Walker;
  std::vector<char> names_;
  std::vector<Counters> counters_;
  std::vector<Pages> by_node_;
};

/// The source of the offsets at which the kernel's structures have their fields.
enum class Source {
  type_information,  ///< the kernel's own (CONFIG_DEBUG_INFO_BTF)
  file,              ///< Options::offsets_file
  experiment,        ///< Census::discover()
};

/// "type information", "file", "experiment".
std::string_view to_string(Source source) noexcept;

struct Options {
  /// The file that Census::discover() writes and Census::open() reads where the kernel has no type
  /// information. Empty: none. A file that is damaged, of another kernel, or that other users can
  /// write is not used.
  std::string offsets_file;
  /// Does not read the type information, to try what happens on a kernel without.
  bool ignore_type_information = false;
  /// Most rounds of Census::open()'s proof: what comes, goes or moves during one is compared again
  /// in the next. 6 take about three seconds, 2 a tenth of one.
  unsigned rounds = 6;
};

/// Takes a census again and again; not for concurrent use. A census takes about 1.5 us a cgroup,
/// and a count 0.2 us.
class Census {
 public:
  /// Loads the program and proves its first census, before any answer: every live cgroup is a
  /// directory with this path, inode and usage, every directory is found, the total is the kernel's
  /// own, and the memory adds up to the root's memory.stat and that of each NUMA node to the node's
  /// vmstat. errc::malformed if the proof fails.
  ///
  /// Needs the type information of the kernel (CONFIG_DEBUG_INFO_BTF) or a file of offsets, Linux
  /// 4.17, CAP_BPF and CAP_PERFMON (before Linux 5.8 CAP_SYS_ADMIN) in the host's user namespace,
  /// and the whole memory hierarchy in view (errc::unsupported, errc::system,
  /// errc::incomplete_view). Before Linux 5.10 the program is attached to the tracepoint
  /// task_rename during a census, and the calling thread sets its name again for each run.
  [[nodiscard]] static Result<Census> open(const Host& host, const Options& options = {});

  /// Finds the offsets by experiments, proves them as open() does, and writes them to
  /// `options.offsets_file`. Takes about a second. A child process charges some 30 MB to four
  /// cgroups below /cgctl-discovery-PID, which is made in the memory hierarchy and removed again; a
  /// call removes what killed processes have left of theirs. The signals that end this process
  /// should be blocked. Swap and sockets stay 0 in such a census, and ages unknown. x86-64 only
  /// (errc::unsupported; also names the field that was not found).
  [[nodiscard]] static Result<Census> discover(const Host& host, const Options& options = {});
  Census(Census&&) noexcept;
  Census& operator=(Census&&) noexcept;
  ~Census();

  /// Replaces `snapshot`. errc::busy when cgroups come and go faster than the walk can follow.
  [[nodiscard]] Status take(Snapshot& snapshot, const Wanted& wanted = {});

  /// Counts the cgroups and reads nothing else. The errors are those of take().
  [[nodiscard]] Result<Count> count();
  [[nodiscard]] Source source() const noexcept { return source_; }

 private:
  class Walker;
  struct Known;
  Census(std::unique_ptr<Walker> walker, Source source) noexcept;
  [[nodiscard]] static Result<Census> prove(const Host& host, const Hierarchy& hierarchy,
                                            Known known, unsigned rounds);
  std::unique_ptr<Walker> walker_;
  Source source_;
};

}  // namespace cgctl::census
