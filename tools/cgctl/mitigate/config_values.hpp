// SPDX-FileCopyrightText: The cgctl authors
// SPDX-License-Identifier: MIT
#pragma once

#include <chrono>
#include <cstdint>
#include <string>
#include <string_view>

#include "cgctl/mitigation_policy.hpp"

namespace cgctl::tool {

/// "10min", "1500ms": in the largest unit that leaves nothing over.
std::string time_text(std::chrono::nanoseconds time);
/// "32MiB", "1000": the same for bytes.
std::string size_text(std::uint64_t bytes);

/// "02:00-05:00", "Mon-Fri 22:00-06:00", "Sat,Sun 00:00-24:00". Throws CLI::ValidationError.
mitigation::Window parse_window(const std::string& text);
std::string window_text(const mitigation::Window& window);

/// "unix:/PATH", short enough for a socket
bool is_unix_address(std::string_view text);

}  // namespace cgctl::tool
