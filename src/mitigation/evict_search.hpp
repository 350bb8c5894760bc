// SPDX-FileCopyrightText: The cgctl authors
// SPDX-License-Identifier: MIT
#pragma once

#include <sys/types.h>

#include <chrono>
#include <cstdint>
#include <string>
#include <utility>
#include <vector>

#include "cgctl/census.hpp"
#include "cgctl/error.hpp"
#include "cgctl/host.hpp"
#include "cgctl/mitigation_policy.hpp"
#include "cgctl/pinned_files.hpp"

namespace cgctl::detail {

/// The device and the inode of a file.
using FileId = std::pair<std::uint64_t, std::uint64_t>;

/// Returns the reason for which evict leaves the file, judged before it tried: busy if none.
mitigation::Obstacle obstacle_to(const census::PinnedFile& file);

/// Returns "sleep (812) and 2 more: restart them"; empty if no process is known. This process is
/// named only if there is no other.
std::string in_words(std::vector<census::Mapper> mappers);

/// True if the file has no known name, but can be opened by its inode number and generation.
bool has_handle(const census::PinnedFile& file);

/// Finds the files that hold the removed cgroups of one census, again and again.
class EvictionSearch {
 public:
  [[nodiscard]] static Result<EvictionSearch> open(const Host& host,
                                                   const mitigation::Policy& policy);

  /// Replaces `found`. Cgroups that were removed since open() are left out. Files in no mount of
  /// this process are looked for in those of the first process.
  [[nodiscard]] Status find(census::PinnedFiles& found);
  /// Does the same after an eviction: repeats it while the kernel releases cgroups without a page,
  /// which takes it a moment.
  [[nodiscard]] Status find_left(census::PinnedFiles& found);
  /// Returns the processes that map the files found, but not this one; stops at `end`.
  [[nodiscard]] std::vector<pid_t> mapping_processes(const census::PinnedFiles& found,
                                                     std::chrono::steady_clock::time_point end);
  /// True if one process maps the file, and no other.
  [[nodiscard]] bool has_one_mapper(const census::PinnedFile& file);
  /// True if removed cgroups may be kept by writeback alone.
  [[nodiscard]] bool nudge_helps(const census::PinnedFiles& found) const noexcept {
    return v2_ && found.unlisted != 0;
  }
  /// Returns the reasons for which the files found after an eviction are still there. If not
  /// `all_tried`, the eviction tried only the files in `tried`, which is in order.
  [[nodiscard]] std::vector<mitigation::Left> explain(const census::PinnedFiles& found,
                                                      bool all_tried,
                                                      const std::vector<FileId>& tried);

 private:
  EvictionSearch(const Host& host, census::FileFinder finder, std::chrono::nanoseconds time);
  [[nodiscard]] std::string remedy_for(mitigation::Obstacle why, const census::PinnedFile* file);

  Roots roots_;
  census::FileFinder finder_;
  census::FileFinder::Limits limits_;
  census::Snapshot snapshot_;
  bool v2_ = false;
};

}  // namespace cgctl::detail
