// SPDX-FileCopyrightText: The cgctl authors
// SPDX-License-Identifier: MIT
#pragma once

#include <array>
#include <chrono>
#include <cstddef>
#include <cstdint>
#include <vector>

#include "cgctl/error.hpp"
#include "cgctl/host.hpp"
#include "cgctl/unique_fd.hpp"
#include "cgctl/zombies.hpp"

namespace cgctl::zombies {

/// The bytes on LRU lists of some cgroups, by the inode numbers of their directories.
class Charges {
 public:
  explicit Charges(std::vector<std::uint64_t> inodes);

  /// Returns the bytes of a cgroup; null if its inode is not among the wanted ones.
  [[nodiscard]] Residual* find(std::uint64_t inode) noexcept;
  [[nodiscard]] bool empty() const noexcept { return inodes_.empty(); }

 private:
  std::vector<std::uint64_t> inodes_;  // sorted
  std::vector<Residual> bytes_;
  std::size_t last_ = 0;  // neighbouring pages often belong to the same cgroup
};

/// Reads which cgroup each page of the machine is charged to and its flags, from /proc/kpagecgroup
/// and /proc/kpageflags (fs/proc/page.c, Documentation/admin-guide/mm/pagemap.rst). The first names
/// the nearest online ancestor of a removed cgroup (page_cgroup_ino() in mm/memcontrol.c).
class PageFrames {
 public:
  /// errc::system with EACCES or EPERM without the right, with ENOENT on kernels built without
  /// CONFIG_PROC_PAGE_MONITOR or CONFIG_MEMCG, and before Linux 4.3.
  [[nodiscard]] static Result<PageFrames> open(const Host& host);

  /// Adds each page on an LRU list to the cgroup that it is charged to. errc::over_budget if that
  /// takes more than `limit` of CPU time, predicted from a sample or found out on the way. Other
  /// threads can run every 512 pages, which is some 50 to 100 us. Pauses so that it takes at most
  /// `percent` of a CPU.
  [[nodiscard]] Status add_to(Charges& charges, std::chrono::nanoseconds limit,
                              unsigned percent = 100);

 private:
  struct Range {
    std::uint64_t first;
    std::uint64_t end;
  };
  static constexpr std::size_t chunk = 512;
  using Chunk = std::array<std::uint64_t, chunk>;

  PageFrames() = default;
  [[nodiscard]] static std::vector<Range> ranges_of(std::string_view zoneinfo);
  [[nodiscard]] std::chrono::nanoseconds predict();
  [[nodiscard]] Result<std::size_t> read(const UniqueFd& file, const char* name, Chunk& values,
                                         std::uint64_t frame, std::size_t number) const;
  [[nodiscard]] Result<std::size_t> add_chunk(std::uint64_t frame, std::size_t number,
                                              Charges& charges);
  void add_pages(std::size_t number, Charges& charges) noexcept;

  UniqueFd cgroups_;
  UniqueFd flags_;
  std::vector<Range> memory_;
  std::uint64_t page_size_ = 0;
  Chunk inode_{};
  Chunk flag_{};
  std::uint64_t next_ = 0;        // the frame behind the last one added
  std::uint64_t head_inode_ = 0;  // of the last page that is no tail of a compound page
  std::uint64_t head_flags_ = 0;
  bool inside_ = false;  // true if the last page belongs to a compound page on an LRU list
};

}  // namespace cgctl::zombies
