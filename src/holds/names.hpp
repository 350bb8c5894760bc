// SPDX-FileCopyrightText: The cgctl authors
// SPDX-License-Identifier: MIT
#pragma once

#include <array>
#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

#include "cgctl/holds.hpp"

namespace cgctl::holds {

/// Returns the path of a process in the memory hierarchy, from the text of /proc/PID/cgroup.
std::string_view memory_cgroup(std::string_view text, bool v2) noexcept;

/// Finds the names of tasks in /proc while they live, and remembers some. Does not allocate after
/// its construction.
class Names {
 public:
  explicit Names(const Host& host);

  /// Allows this many tasks to be looked up until the next call.
  void allow(std::uint32_t lookups) noexcept { allowed_ = lookups; }
  /// Fills in the name of the task with these IDs, and its cgroup.
  void name(Task& task, Time now) noexcept;
  /// Fills in the file that the task has open as `descriptor`, if it fits the cause.
  void name_file(Task& task, std::uint64_t descriptor) noexcept;

 private:
  struct Known {
    pid_t pid = 0;
    pid_t tid = 0;
    Time at{};
    Text<16> comm;
    Text<200> cgroup;
  };
  [[nodiscard]] std::string_view read(const char* form, pid_t pid, pid_t tid) noexcept;

  std::string proc_;
  bool v2_ = false;
  std::uint32_t allowed_ = 0;
  std::vector<Known> known_;  // by tid
  std::array<char, 4096> text_{};
};

}  // namespace cgctl::holds
