// SPDX-FileCopyrightText: The cgctl authors
// SPDX-License-Identifier: MIT
#pragma once

#include <chrono>
#include <ctime>

namespace cgctl::tool {

/// Converts a point in time or a duration for system calls. Both members of timespec are 32 bits
/// wide on some machines.
inline timespec to_timespec(std::chrono::nanoseconds time) noexcept {
  const auto whole = std::chrono::duration_cast<std::chrono::seconds>(time);
  timespec converted{};
  converted.tv_sec = static_cast<decltype(converted.tv_sec)>(whole.count());
  converted.tv_nsec = static_cast<decltype(converted.tv_nsec)>((time - whole).count());
  return converted;
}

}  // namespace cgctl::tool
