// SPDX-FileCopyrightText: The cgctl authors
// SPDX-License-Identifier: MIT
#pragma once

#include <time.h>

#include <algorithm>
#include <chrono>
#include <cstdint>

namespace cgctl::lab {

/// The shortest time that `cgctl doctor --watch` lists as a hold.
inline constexpr std::chrono::nanoseconds shortest_hold = std::chrono::milliseconds(4);

/// Returns the CPU time of the calling thread.
inline std::chrono::nanoseconds cpu_time() {
  timespec now{};
  ::clock_gettime(CLOCK_THREAD_CPUTIME_ID, &now);
  return std::chrono::seconds(now.tv_sec) + std::chrono::nanoseconds(now.tv_nsec);
}

/// The system calls that held a CPU, by the CPU time that they took.
struct Held {
  std::uint64_t holds = 0;
  std::chrono::nanoseconds total{};
  std::chrono::nanoseconds longest{};

  void add(std::chrono::nanoseconds took) noexcept {
    ++holds;
    total += took;
    longest = std::max(longest, took);
  }
};

}  // namespace cgctl::lab
