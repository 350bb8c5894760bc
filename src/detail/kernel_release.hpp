// SPDX-FileCopyrightText: The cgctl authors
// SPDX-License-Identifier: MIT
#pragma once

#include <sys/utsname.h>

#include <cstdint>
#include <optional>
#include <string_view>
#include <utility>

#include "cgctl/parse.hpp"

namespace cgctl::detail {

using KernelRelease = std::pair<std::uint64_t, std::uint64_t>;  // major and minor number

/// Returns the numbers of a release such as "6.1.0-50-amd64"; nothing for another text.
inline std::optional<KernelRelease> kernel_release(std::string_view text) noexcept {
  KernelRelease found;
  if (!parse::number(text, found.first) || !parse::starts_with(text, ".")) return std::nullopt;
  text.remove_prefix(1);
  if (!parse::number(text, found.second)) return std::nullopt;
  return found;
}

/// Returns the release of the running kernel; nothing if it is not one of Linux.
inline std::optional<KernelRelease> running_kernel() noexcept {
  ::utsname names{};
  if (::uname(&names) != 0) return std::nullopt;
  return kernel_release(names.release);
}

}  // namespace cgctl::detail
