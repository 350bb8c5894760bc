// SPDX-FileCopyrightText: The cgctl authors
// SPDX-License-Identifier: MIT
#pragma once

#include <cstdint>
#include <cstring>
#include <limits>
#include <optional>
#include <string_view>

/// Scanners shared by every reader of kernel text: bounded, allocation-free, locale-free, nothing
/// throws.
namespace cgctl::parse {

/// Reads decimal digits at the head of `text` and removes them. False (and `text` as it was) when
/// there is no digit or the number does not fit 64 bits.
inline bool number(std::string_view& text, std::uint64_t& out) noexcept {
  constexpr std::uint64_t max = std::numeric_limits<std::uint64_t>::max();
  constexpr std::size_t always_fits = std::numeric_limits<std::uint64_t>::digits10;
  std::uint64_t value = 0;
  std::size_t used = 0;
  for (; used < text.size(); ++used) {
    const unsigned digit = static_cast<unsigned char>(text[used]) - unsigned{'0'};
    if (digit > 9) break;
    if (used >= always_fits && value > (max - digit) / 10) return false;
    value = value * 10 + digit;
  }
  if (used == 0) return false;
  text.remove_prefix(used);
  out = value;
  return true;
}

/// The whole of `text` as one decimal number; a final newline is allowed.
inline std::optional<std::uint64_t> whole_number(std::string_view text) noexcept {
  if (!text.empty() && text.back() == '\n') text.remove_suffix(1);
  std::uint64_t value = 0;
  if (!number(text, value) || !text.empty()) return std::nullopt;
  return value;
}

/// Cuts the first line off `text` and returns it without its newline; the last one may lack the
/// newline.
inline std::string_view line(std::string_view& text) noexcept {
  if (text.empty()) return {};
  const void* const newline = std::memchr(text.data(), '\n', text.size());
  if (newline == nullptr) {
    const std::string_view whole = text;
    text = {};
    return whole;
  }
  const auto length = static_cast<std::size_t>(static_cast<const char*>(newline) - text.data());
  const std::string_view head = text.substr(0, length);
  text.remove_prefix(length + 1);
  return head;
}

/// Cuts the first field (separated by spaces or tabs) off `text`; empty when there is none.
inline std::string_view field(std::string_view& text) noexcept {
  const auto blank = [](char c) { return c == ' ' || c == '\t'; };
  std::size_t begin = 0;
  while (begin < text.size() && blank(text[begin])) ++begin;
  std::size_t end = begin;
  while (end < text.size() && !blank(text[end])) ++end;
  const std::string_view found = text.substr(begin, end - begin);
  text.remove_prefix(end);
  return found;
}

inline bool starts_with(std::string_view text, std::string_view prefix) noexcept {
  return text.substr(0, prefix.size()) == prefix;
}

/// The number of the line "KEY NUMBER" in a flat keyed file (`memory.stat`, `cgroup.stat`,
/// `vmstat`).
inline std::optional<std::uint64_t> value_of(std::string_view text, std::string_view key) noexcept {
  while (!text.empty()) {
    std::string_view row = line(text);
    if (row.size() > key.size() && row[key.size()] == ' ' && starts_with(row, key)) {
      return whole_number(row.substr(key.size() + 1));
    }
  }
  return std::nullopt;
}

/// Calls `visit(first, last)` for each range of a kernel list such as "0-3,8,10-11\n". False when
/// the text is no list.
template <class Visit>
bool ranges(std::string_view text, Visit visit) {
  if (!text.empty() && text.back() == '\n') text.remove_suffix(1);
  while (!text.empty()) {
    std::uint64_t first = 0;
    if (!number(text, first)) return false;
    std::uint64_t last = first;
    if (!text.empty() && text.front() == '-') {
      text.remove_prefix(1);
      if (!number(text, last) || last < first) return false;
    }
    visit(first, last);
    if (text.empty()) break;
    if (text.front() != ',' || text.size() == 1) return false;
    text.remove_prefix(1);
  }
  return true;
}

}  // namespace cgctl::parse
