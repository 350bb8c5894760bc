// SPDX-FileCopyrightText: The cgctl authors
// SPDX-License-Identifier: MIT
#pragma once

#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

#include "cgctl/error.hpp"
#include "cgctl/host.hpp"

/// Creates zombies for laboratories and tests: memory cgroups that are removed while a page is
/// still charged to them.
namespace cgctl::lab {

/// The kind of page that keeps the zombies alive.
enum class Pin {
  page_cache,   ///< a clean file on disk: drop_caches frees it
  tmpfs,        ///< a file on tmpfs: only its removal frees it
  mapped_file,  ///< a file on disk that a running process maps: drop_caches does not free it
  mlock,        ///< memory that a running process has locked
  anonymous,    ///< memory of a running process, which has left the cgroup
};

std::string_view to_string(Pin pin) noexcept;
/// Returns the remedy for zombies of this kind, as a text for people.
std::string_view cure(Pin pin) noexcept;

/// Owns a subtree of memory cgroups, its files, and the processes that hold pages. release() or the
/// destructor removes all of it.
class ZombieMaker {
 public:
  /// Creates the cgroup "/NAME" in the memory controller's hierarchy, with a child cgroup for the
  /// processes that create zombies, and the folder `files`/NAME for their files. `files` must be on
  /// tmpfs for Pin::tmpfs, and on a disk for page_cache and mapped_file.
  static Result<ZombieMaker> open(const Host& host, Pin pin, const std::string& name,
                                  const std::string& files);

  ZombieMaker(ZombieMaker&& other) noexcept;
  ZombieMaker& operator=(ZombieMaker&&) = delete;
  ~ZombieMaker();

  /// Creates `count` zombies. A child process enters each new cgroup, writes or locks one page, and
  /// leaves it.
  Status make(std::uint64_t count);

  /// Removes what keeps the zombies alive: ends the processes, deletes the files.
  Status cure();

  /// Calls cure(), and removes the cgroup and the folder. The destructor does this if nobody has.
  Status release();

  /// Returns the cgroup below which the zombies hang.
  [[nodiscard]] const std::string& group() const noexcept { return group_; }

 private:
  ZombieMaker(Pin pin, std::string group, std::string group_directory,
              std::string file_directory) noexcept;
  [[nodiscard]] int child_main(std::uint64_t first, std::uint64_t count, int report) const;

  Pin pin_;
  std::string group_;
  std::string group_directory_;
  std::string file_directory_;
  std::uint64_t made_ = 0;
  std::vector<int> holders_;  // process ids
  bool released_ = false;
};

}  // namespace cgctl::lab
