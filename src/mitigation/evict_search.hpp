// SPDX-FileCopyrightText: The cgctl authors
// SPDX-License-Identifier: MIT
#pragma once

#include <chrono>
#include <string>
#include <vector>

#include "cgctl/census.hpp"
#include "cgctl/error.hpp"
#include "cgctl/host.hpp"
#include "cgctl/mitigation_policy.hpp"
#include "cgctl/pinned_files.hpp"

namespace cgctl::detail {

/// Returns the reason for which evict leaves the file, judged before it tried: busy if none.
mitigation::Obstacle obstacle_to(const census::PinnedFile& file);

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
  /// True if removed cgroups may be kept by writeback alone.
  [[nodiscard]] bool nudge_helps(const census::PinnedFiles& found) const noexcept {
    return v2_ && found.unlisted != 0;
  }
  /// Returns the reasons for which the files found after an eviction are still there; `cut` is true
  /// if it did not reach all files.
  [[nodiscard]] std::vector<mitigation::Left> explain(const census::PinnedFiles& found, bool cut);

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
