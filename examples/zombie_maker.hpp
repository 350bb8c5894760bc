// SPDX-FileCopyrightText: The cgctl authors
// SPDX-License-Identifier: MIT
#pragma once

#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

#include "cgctl/error.hpp"
#include "cgctl/host.hpp"

/// Makes zombies: memory cgroups that are removed while a page still refers to them. For
/// laboratories and tests.
namespace cgctl::lab {

/// What keeps the zombies.
enum class Pin {
  page_cache,   ///< a clean file on disk: drop_caches frees it
  tmpfs,        ///< a file on tmpfs: only its removal frees it
  mapped_file,  ///< a file on disk that a running process maps: drop_caches passes it by
  mlock,        ///< memory a running process has locked
};

std::string_view to_string(Pin pin) noexcept;
/// What would free zombies of this kind, for a person.
std::string_view cure(Pin pin) noexcept;

/// A subtree of memory cgroups with its files and the process that holds pages; all removed by
/// release() or the end of the object.
class ZombieMaker {
 public:
  /// Makes the cgroup "/NAME" with room for the makers in it, on the memory controller's hierarchy,
  /// and the folder `files`/NAME for what they write. `files` must lie on tmpfs for Pin::tmpfs and
  /// on a disk for page_cache and mapped_file.
  static Result<ZombieMaker> open(const Host& host, Pin pin, const std::string& name,
                                  const std::string& files);

  ZombieMaker(ZombieMaker&& other) noexcept;
  ZombieMaker& operator=(ZombieMaker&&) = delete;
  ~ZombieMaker();

  /// Makes `count` of them; a child process enters each fresh cgroup, writes or locks one page, and
  /// moves on.
  Status make(std::uint64_t count);

  /// Takes away what pins them: ends the process, removes the files.
  Status cure();

  /// cure(), and removes the cgroup and the folder. Done by the destructor when not before.
  Status release();

  /// The cgroup below which they hang.
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
