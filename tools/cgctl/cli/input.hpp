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
  /// Longest time that the writers of a pipe may take; empty: no limit.
  std::optional<std::chrono::milliseconds> patience;
  /// Longest wait until a FIFO has a writer.
  std::chrono::milliseconds first_writer = std::chrono::seconds(10);
};

/// Reads a file that a user names to its end: a regular file, a pipe such as <(command), or a
/// device such as /dev/stdin. Fails for a pipe that stays empty or gets no writer.
Result<std::string> read_input(const std::string& path, const InputLimits& limits);

Result<std::string> read_standard_input(const InputLimits& limits);

}  // namespace cgctl::tool
