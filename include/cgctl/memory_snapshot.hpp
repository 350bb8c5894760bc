// SPDX-FileCopyrightText: The cgctl authors
// SPDX-License-Identifier: MIT
#pragma once

#include <cstddef>
#include <cstdint>
#include <optional>
#include <string>
#include <utility>
#include <vector>

#include "cgctl/error.hpp"
#include "cgctl/group.hpp"
#include "cgctl/memory.hpp"
#include "cgctl/memory_stat.hpp"
#include "cgctl/unique_fd.hpp"

/// Repeated snapshots of all memory figures of a cgroup.
namespace cgctl::memory {

/// The kernel's counters for one kind of memory. Values that the version or kernel lacks are
/// absent.
struct Counter {
  std::optional<std::uint64_t> usage;    ///< bytes, now
  std::optional<std::uint64_t> peak;     ///< bytes, highest usage ever (v2: Linux 5.19)
  std::optional<std::uint64_t> failcnt;  ///< number of times the limit was hit (v1)
  std::optional<Limit> max;              ///< the limit
};

/// The figures that a container runtime reports (runc's `MemoryStats`), without memory.numa_stat,
/// which numa::Reader reads.
struct Snapshot {
  Counter memory;
  Counter swap;                       ///< v2
  Counter memsw;                      ///< v1: memory and swap together, if accounted
  Counter kernel;                     ///< v1 memory.kmem.*
  Counter kernel_tcp;                 ///< v1 memory.kmem.tcp.*
  std::optional<bool> use_hierarchy;  ///< v1
  Stat stat;
};

/// Reads snapshots of one cgroup through kept descriptors, one for each file that the kernel has
/// (v1: at most 18, v2: 7). A read makes one pread(2) for each file and allocates nothing once
/// `out` has seen the files.
class SnapshotReader {
 public:
  [[nodiscard]] static Result<SnapshotReader> open(const Group& group);
  SnapshotReader(SnapshotReader&&) noexcept = default;
  SnapshotReader& operator=(SnapshotReader&&) noexcept = default;
  SnapshotReader(const SnapshotReader&) = delete;
  SnapshotReader& operator=(const SnapshotReader&) = delete;
  ~SnapshotReader() = default;

  /// Reads a snapshot. errc::vanished once the cgroup is removed; `out` is then invalid.
  [[nodiscard]] Status read(Snapshot& out) const;
  /// Returns the number of descriptors kept.
  [[nodiscard]] std::size_t descriptors() const noexcept { return numbers_.size() + 1; }

 private:
  struct Number {
    UniqueFd fd;
    const char* file;
    std::size_t place;  // index in the table of the version
  };
  SnapshotReader(StatReader stat, std::vector<Number> numbers, std::string path) noexcept;

  StatReader stat_;
  std::vector<Number> numbers_;
  std::string path_;
};

}  // namespace cgctl::memory
