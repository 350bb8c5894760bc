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
  /// The longest to wait for those who write to a pipe; no limit when empty.
  std::optional<std::chrono::milliseconds> patience;
};

/// Reads a file that a user names to its end: a regular file, a pipe such as <(command), or a
/// device such as /dev/stdin. An empty pipe is an error.
Result<std::string> read_input(const std::string& path, const InputLimits& limits);

Result<std::string> read_standard_input(const InputLimits& limits);

}  // namespace cgctl::tool
