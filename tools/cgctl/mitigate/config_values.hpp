// SPDX-FileCopyrightText: The cgctl authors
// SPDX-License-Identifier: MIT
#pragma once

#include <chrono>
#include <cstdint>
#include <string>
#include <string_view>

#include "cgctl/mitigation_policy.hpp"

namespace cgctl::tool {

/// Returns "10min", "1500ms": a time in the largest unit in which it is a whole number.
std::string time_text(std::chrono::nanoseconds time);
/// Returns "32MiB", "1000": bytes in the largest unit in which they are a whole number.
std::string size_text(std::uint64_t bytes);

/// Parses "02:00-05:00", "Mon-Fri 22:00-06:00", "Sat,Sun 00:00-24:00". Throws CLI::ValidationError.
mitigation::Window parse_window(const std::string& text);
std::string window_text(const mitigation::Window& window);

}  // namespace cgctl::tool
