// SPDX-FileCopyrightText: The cgctl authors
// SPDX-License-Identifier: MIT
#pragma once

#include <cstdint>
#include <optional>
#include <string_view>

#include "cgctl/memory.hpp"
#include "cgctl/parse.hpp"

namespace cgctl::memory::detail {

/// Returns the limit that a file states by this number.
inline Limit limit_of(std::uint64_t number) noexcept {
  // v1 writes its largest number of whole pages for "no limit".
  constexpr std::uint64_t beyond_any_memory = (std::uint64_t{1} << 63) - (std::uint64_t{1} << 24);
  return number >= beyond_any_memory ? Limit{} : Limit{number};
}

/// Parses the text of a limit file; nothing if the text is no limit.
inline std::optional<Limit> limit(std::string_view text) noexcept {
  if (text == "max\n") return Limit{};
  const auto number = parse::whole_number(text);
  if (!number) return std::nullopt;
  return limit_of(*number);
}

}  // namespace cgctl::memory::detail
