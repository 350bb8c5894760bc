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
  int stop = -1;               ///< a descriptor; when it becomes readable, the work is given up
  const char* operation = "";  ///< for the error, as `path`
  std::string path;
};

/// Runs `work` in a child process and waits for it, at most until the deadline; then the child is
/// killed, and left to the kernel when it does not die within a second (an uninterruptible system
/// call). It is killed too when the calling thread ends. The child's other threads do not exist, so
/// `work` makes system calls only: no allocation, no lock. It returns 0 or an errno, which becomes
/// the error, with errc::timed_out for a deadline and errc::cancelled for a stop.
Result<std::chrono::nanoseconds> run_isolated(const std::function<int()>& work,
                                              const Isolation& how);

}  // namespace cgctl::detail
