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

/// All figures of a cgroup's memory at once, again and again.
namespace cgctl::memory {

/// What the kernel counts of one kind of memory. What its version or kernel lacks is absent.
struct Counter {
  std::optional<std::uint64_t> usage;    ///< bytes, now
  std::optional<std::uint64_t> peak;     ///< bytes, the most there ever was (v2: Linux 5.19)
  std::optional<std::uint64_t> failcnt;  ///< how often the limit was hit (v1)
  std::optional<Limit> max;
};

/// The figures that a container runtime reports (runc's `MemoryStats`), but for memory.numa_stat:
/// numa::Reader.
struct Snapshot {
  Counter memory;
  Counter swap;                       ///< v2
  Counter memsw;                      ///< v1: memory and swap together, where accounted
  Counter kernel;                     ///< v1 memory.kmem.*
  Counter kernel_tcp;                 ///< v1 memory.kmem.tcp.*
  std::optional<bool> use_hierarchy;  ///< v1
  Stat stat;
};

/// Reads the snapshots of one cgroup through kept descriptors, one for each file that the kernel
/// has (v1: at most 18, v2: 7): one pread(2) a file, nothing allocated once `out` has seen the
/// files.
class SnapshotReader {
 public:
  [[nodiscard]] static Result<SnapshotReader> open(const Group& group);
  SnapshotReader(SnapshotReader&&) noexcept = default;
  SnapshotReader& operator=(SnapshotReader&&) noexcept = default;
  SnapshotReader(const SnapshotReader&) = delete;
  SnapshotReader& operator=(const SnapshotReader&) = delete;
  ~SnapshotReader() = default;

  /// errc::vanished once the cgroup is removed; `out` is then of no use.
  [[nodiscard]] Status read(Snapshot& out) const;
  /// How many descriptors it keeps.
  [[nodiscard]] std::size_t descriptors() const noexcept { return numbers_.size() + 1; }

 private:
  struct Number {
    UniqueFd fd;
    const char* file;
    std::size_t place;  // in the table of the version
  };
  SnapshotReader(StatReader stat, std::vector<Number> numbers, std::string path) noexcept;

  StatReader stat_;
  std::vector<Number> numbers_;
  std::string path_;
};

}  // namespace cgctl::memory
