// SPDX-FileCopyrightText: The cgctl authors
// SPDX-License-Identifier: MIT
#pragma once

#include <chrono>
#include <cstddef>
#include <optional>
#include <string>

#include "cgctl/error.hpp"

namespace cgctl::tool {

struct InputLimits {
  std::size_t bytes = std::size_t{64} << 20;
  /// The longest time that those who write to a pipe may take; no limit when empty.
  std::optional<std::chrono::milliseconds> patience;
  /// The longest wait for a first one who opens a FIFO for writing.
  std::chrono::milliseconds first_writer = std::chrono::seconds(10);
};

/// Reads a file that a user names to its end: a regular file, a pipe such as <(command), or a
/// device such as /dev/stdin. A pipe that stays empty or that nobody opens for writing is an error.
Result<std::string> read_input(const std::string& path, const InputLimits& limits);

Result<std::string> read_standard_input(const InputLimits& limits);

}  // namespace cgctl::tool
