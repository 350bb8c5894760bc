// SPDX-FileCopyrightText: The cgctl authors
// SPDX-License-Identifier: MIT
#pragma once

#include <chrono>
#include <cstddef>
#include <cstdint>
#include <optional>
#include <string>
#include <utility>
#include <vector>

#include "cgctl/error.hpp"
#include "cgctl/host.hpp"
#include "cgctl/mitigation_policy.hpp"
#include "cgctl/pinned_files.hpp"
#include "cgctl/unique_fd.hpp"
#include "detail/isolated.hpp"
#include "mitigation/evict_search.hpp"
#include "mitigation/page_out.hpp"
#include "mitigation/write_back.hpp"

namespace cgctl::detail {

/// Figures of an eviction, which a child process writes.
struct Evicted {
  std::size_t opened = 0;   ///< files that were the ones found, and whose pages were given up
  std::size_t changed = 0;  ///< files that are gone, or have another file at their path
  std::size_t refused = 0;  ///< files that could not be opened
  bool stopped = false;     ///< true if the time was up before all files were looked at
  int error = 0;            ///< errno of the first file that could not be opened
};

/// Drops the page cache of exactly the pages that hold removed cgroups.
class Eviction {
 public:
  using Clock = std::chrono::steady_clock;

  /// Opens the mounts of the files found, and looks for processes that have the deleted ones open,
  /// until `end`. Takes the first `most` files that can be evicted.
  Eviction(const Host& host, const census::PinnedFiles& found, std::size_t most,
           Clock::time_point end);

  /// True if there is no file to evict.
  [[nodiscard]] bool empty() const noexcept { return targets_.empty(); }
  /// True if there were more files than `most`.
  [[nodiscard]] bool cut() const noexcept { return cut_; }

  /// Makes run() write these file systems back too, on v2: for removed cgroups without a page,
  /// whose file system is not known. The kernel keeps one as long as it has a dirty inode.
  void write_back_before_nudge(WriteBack file_systems) { unknown_ = std::move(file_systems); }

  /// Makes run() also drop the pages that one of these processes alone maps.
  void page_out(const Host& host, std::vector<pid_t> processes);

  /// Writes back and evicts until `end`; on v2 also makes the kernel release removed cgroups that
  /// only writeback refers to. Opens only a regular file with the device, inode and generation that
  /// were found; nothing is opened through a symbolic link. Makes system calls only. Returns 0, or
  /// the first errno if no file could be evicted.
  [[nodiscard]] int run(Clock::time_point end, Evicted& figures) noexcept;
  /// Returns the files that a run() with these figures tried, in order.
  [[nodiscard]] std::vector<FileId> tried(const Evicted& figures) const;
  /// Removes the cgroup that a killed run() may have left behind.
  void clean_up() const noexcept;

 private:
  struct Target {
    int mount = -1;    // descriptor of the mount point; -1: `path` is a link in procfs
    std::string path;  // below the mount point; empty: the name is not known
    std::uint64_t device = 0;
    std::uint64_t inode = 0;
    std::uint32_t generation = 0;
    bool first_on_device = false;
    bool mapped = false;
    FileId shown_as;  // the device and inode of the file in an overlay
    std::vector<census::PageRange> pages;
    bool written = false;  // by run(): the disk has all these pages
  };
  void add(const census::PinnedFile& file);
  void add_deleted(const Host& host, const std::vector<const census::PinnedFile*>& files,
                   Clock::time_point end);
  [[nodiscard]] Target target_of(const census::PinnedFile& file) const;
  [[nodiscard]] int mount_descriptor(const std::string& mount);
  [[nodiscard]] int open(const Target& target) const noexcept;
  [[nodiscard]] int open_place(const Target& target) const noexcept;
  [[nodiscard]] int open_noted(const Target& target, Evicted& figures) const noexcept;
  void start_writing(int fd, const Target& target) const noexcept;
  void give_up(int fd, Target& target) const noexcept;
  void nudge() const noexcept;

  std::string descriptors_;  // "/proc/self/fd/"
  std::string first_root_;   // root directory of the first process, "/proc/1/root"
  off_t page_size_;
  int v2_root_;  // directory of the memory controller's hierarchy; -1 on v1
  std::vector<std::pair<std::string, UniqueFd>> mounts_;
  std::vector<Target> targets_;
  std::optional<WriteBack> unknown_;  // of removed cgroups without a page
  std::optional<PageOut> page_out_;
  bool cut_ = false;
};

/// Finds the files that hold removed cgroups, and evicts exactly these cgroups' pages. `left` gets
/// the reasons for which pages stayed.
Result<std::chrono::nanoseconds> evict(const Host& host, const mitigation::Policy& policy,
                                       Isolation how, std::vector<mitigation::Left>& left);

/// Finds the files that evict() would take, and changes nothing.
Result<mitigation::Evictable> evictable(const Host& host, const mitigation::Policy& policy);

}  // namespace cgctl::detail
