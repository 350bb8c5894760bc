// SPDX-FileCopyrightText: The cgctl authors
// SPDX-License-Identifier: MIT
#pragma once

#include <cstddef>
#include <optional>
#include <string>

namespace cgctl::tool {

/// Returns the columns of the terminal on standard output, else the number in COLUMNS; nothing if
/// standard output is not a terminal or its width is not known.
std::optional<std::size_t> terminal_columns();

/// Returns the local time of day: "12:34:56".
std::string local_time();

}  // namespace cgctl::tool
