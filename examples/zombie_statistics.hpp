// SPDX-FileCopyrightText: The cgctl authors
// SPDX-License-Identifier: MIT
#pragma once

#include <cstddef>
#include <string>

#include "cgctl/error.hpp"
#include "cgctl/host.hpp"
#include "cgctl/unique_fd.hpp"

namespace cgctl::lab {

/// Removed memory cgroups whose statistics can be made to change all at once. The next read of the
/// root's memory.stat then sums up each of them: since Linux 5.13 the kernel sums up when a program
/// reads. A page of shared memory keeps each of them; all go with this object, or with its process,
/// also if that is killed. From Linux 7.1 on pages do not keep removed cgroups.
class ZombieStatistics {
 public:
  /// Makes `count` of them, each of which takes a millisecond or two.
  static Result<ZombieStatistics> make(const Host& host, std::size_t count);

  ZombieStatistics(ZombieStatistics&& other) noexcept;
  ZombieStatistics& operator=(ZombieStatistics&& other) noexcept;
  ~ZombieStatistics();

  [[nodiscard]] std::size_t count() const noexcept { return count_; }
  /// Changes the statistics of each removed cgroup, in short system calls.
  [[nodiscard]] Status change() const;
  /// Reads the root's memory.stat.
  [[nodiscard]] Status read() const;

 private:
  ZombieStatistics(std::size_t count, UniqueFd pages, UniqueFd file, std::string path) noexcept;

  std::size_t count_;
  UniqueFd pages_;
  UniqueFd file_;
  std::string path_;
  void* mapping_ = nullptr;
};

}  // namespace cgctl::lab
