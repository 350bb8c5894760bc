// SPDX-FileCopyrightText: The cgctl authors
// SPDX-License-Identifier: MIT
#pragma once

#include <cstdint>
#include <string>
#include <string_view>

#include "cgctl/error.hpp"
#include "cgctl/unique_fd.hpp"

namespace cgctl::detail {

/// Opens the control file `path` below `root` for writing. errc::outside if it is not of the file
/// system `magic`.
Result<UniqueFd> open_control(const char* what, const std::string& root, const char* path,
                              std::int64_t magic);

/// Writes `text` in one write. Returns 0 or an errno. Makes system calls only.
int write_control(int control, std::string_view text) noexcept;

}  // namespace cgctl::detail
