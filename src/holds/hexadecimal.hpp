// SPDX-FileCopyrightText: The cgctl authors
// SPDX-License-Identifier: MIT
#pragma once

#include <cstdint>
#include <string_view>

namespace cgctl::holds {

/// Cuts a hexadecimal number in small letters off `text`; 0 if there is none.
inline std::uint64_t hexadecimal(std::string_view& text) noexcept {
  constexpr unsigned bits = 4;
  constexpr unsigned ten = 10;
  std::uint64_t value = 0;
  while (!text.empty()) {
    const unsigned c = static_cast<unsigned char>(text.front());
    const unsigned digit = c >= 'a' ? c - 'a' + ten : c - '0';
    if (digit >= 1U << bits) break;
    value = value << bits | digit;
    text.remove_prefix(1);
  }
  return value;
}

}  // namespace cgctl::holds
