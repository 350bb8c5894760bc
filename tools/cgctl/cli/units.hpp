// SPDX-FileCopyrightText: The cgctl authors
// SPDX-License-Identifier: MIT
#pragma once

#include <chrono>
#include <cstdint>
#include <string>

namespace cgctl::tool {

/// Returns the amount with at most three significant digits, fixed units and no locale: "1.5 GiB".
std::string human_bytes(std::uint64_t bytes);

/// Returns the time in the same way: "4.8 us". Below 0 it is "0 s": a difference of two
/// measurements that is less than what can be measured.
std::string human_time(std::chrono::nanoseconds time);

}  // namespace cgctl::tool
