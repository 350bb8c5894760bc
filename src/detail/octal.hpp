// SPDX-FileCopyrightText: The cgctl authors
// SPDX-License-Identifier: MIT
#pragma once

#include <sys/types.h>

#include <string>

namespace cgctl::detail {

/// Formats a mode like "0775".
inline std::string octal(mode_t mode) {
  std::string digits;
  for (; mode != 0; mode >>= 3U) {
    digits.insert(digits.begin(), static_cast<char>('0' + (mode & 7U)));
  }
  return "0" + digits;
}

}  // namespace cgctl::detail
