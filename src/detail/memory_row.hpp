// SPDX-FileCopyrightText: The cgctl authors
// SPDX-License-Identifier: MIT
#pragma once

#include <cstdint>
#include <optional>
#include <string_view>

#include "cgctl/parse.hpp"

namespace cgctl::detail {

/// Returns num_cgroups of the memory row of /proc/cgroups: how many memory cgroups the whole
/// machine has, those included that were removed and that the kernel still holds. Does not
/// allocate.
inline std::optional<std::uint64_t> memory_cgroups(std::string_view proc_cgroups) noexcept {
  while (!proc_cgroups.empty()) {
    std::string_view row = parse::line(proc_cgroups);
    if (parse::field(row) != "memory") continue;
    parse::field(row);  // the hierarchy's number
    return parse::whole_number(parse::field(row));
  }
  return std::nullopt;
}

}  // namespace cgctl::detail
