// SPDX-FileCopyrightText: The cgctl authors
// SPDX-License-Identifier: MIT
#pragma once

#include <chrono>
#include <functional>
#include <string>

#include "cgctl/error.hpp"

namespace cgctl::detail {

struct Isolation {
  std::chrono::nanoseconds deadline{};
  int stop = -1;               ///< a descriptor that cancels the work once it is readable
  const char* operation = "";  ///< operation in errors, with `path`
  std::string path;
};

/// Runs `work` in a child process and waits for it until the deadline. Then it kills the child; a
/// child that does not die within a second (in an uninterruptible system call) is left behind. The
/// child is also killed when the calling thread ends. `work` may only make system calls, without
/// allocations or locks, because the child does not have the program's other threads. `work`
/// returns 0 or an errno, which becomes the error; errc::timed_out after the deadline,
/// errc::cancelled after `stop`.
Result<std::chrono::nanoseconds> run_isolated(const std::function<int()>& work,
                                              const Isolation& how);

}  // namespace cgctl::detail
