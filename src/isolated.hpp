// SPDX-FileCopyrightText: The cgctl authors
// SPDX-License-Identifier: MIT
#pragma once

#include <chrono>
#include <functional>

#include "cgctl/error.hpp"

namespace cgctl::detail {

/// Runs `work` in a child process and waits for it, at most until `deadline`; then the child is
/// killed, and left to the kernel when it does not die within a second (an uninterruptible system
/// call). The child's other threads do not exist, so `work` makes system calls only: no allocation,
/// no lock. It returns 0 or an errno, which becomes the error, with errc::timed_out for a deadline.
/// `operation` and `path` are for the error.
Result<std::chrono::nanoseconds> run_isolated(const std::function<int()>& work,
                                              std::chrono::nanoseconds deadline,
                                              const char* operation, const std::string& path);

}  // namespace cgctl::detail
