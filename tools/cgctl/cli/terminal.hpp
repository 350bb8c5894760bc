// SPDX-FileCopyrightText: The cgctl authors
// SPDX-License-Identifier: MIT
#pragma once

#include <cstddef>
#include <optional>

namespace cgctl::tool {

/// The columns of the terminal on standard output, else those that COLUMNS names; nothing where
/// standard output is no terminal, or its width is not known.
std::optional<std::size_t> terminal_columns();

}  // namespace cgctl::tool
