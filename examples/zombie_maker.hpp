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
  page_cache,   ///< a file on disk: drop_caches frees its page once it is written back
  active,       ///< such a file that was read several times, so that its page is active
  shared,       ///< a page of one file whose other pages belong to a live cgroup
  nested,       ///< a file of a cgroup within the removed one, as of a container within a pod
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

  /// Creates `count` live cgroups below group() and one outside of it. Each has a file of `bytes`
  /// bytes in the page cache.
  Status make_neighbours(std::uint64_t count, std::uint64_t bytes);

  /// Reads the files of the neighbours, so that they are in the page cache again.
  Status refill_neighbours();

  /// Creates `count` zombies, with Pin::nested half of them within others. A child process enters
  /// each new cgroup, writes or locks one page, and leaves it.
  Status make(std::uint64_t count);

  /// Removes what keeps the zombies alive: ends the processes, deletes the files.
  Status cure();

  /// Does the same, but keeps the files of the neighbours, for zombies to be made next.
  Status discard();

  /// Calls cure(), and removes the cgroup and the folder. The destructor does this if nobody has.
  Status release();

  /// Returns the cgroup below which the zombies hang.
  [[nodiscard]] const std::string& group() const noexcept { return group_; }
  /// Returns the neighbours' cgroups, the one outside last.
  [[nodiscard]] const std::vector<std::string>& neighbours() const noexcept { return neighbours_; }

 private:
  ZombieMaker(Pin pin, std::string group, std::string group_directory,
              std::string file_directory) noexcept;
  template <class Work>
  [[nodiscard]] Result<int> start(const Work& work) const;
  [[nodiscard]] std::string directory_of(const std::string& group) const;
  void end_holders();
  [[nodiscard]] int make_one(std::uint64_t index) const;
  [[nodiscard]] int child_main(std::uint64_t first, std::uint64_t count, int report) const;
  [[nodiscard]] int read_neighbours(std::uint64_t bytes_to_write) const;

  Pin pin_;
  std::string group_;
  std::string group_directory_;
  std::string file_directory_;
  std::uint64_t made_ = 0;
  std::vector<int> holders_;  // process ids
  std::vector<std::string> neighbours_;
  bool released_ = false;
};

}  // namespace cgctl::lab
