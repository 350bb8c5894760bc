// SPDX-FileCopyrightText: The cgctl authors
// SPDX-License-Identifier: MIT
#pragma once

#include <array>
#include <cstddef>
#include <cstdint>
#include <limits>
#include <optional>
#include <string_view>

#include "cgctl/detail/language.hpp"  // first: says which C++ is needed

/// Scanners for kernel text: bounded, independent of the locale, without allocations or exceptions.
namespace cgctl::parse {

/// Reads decimal digits at the start of `text` and removes them. Returns false and leaves `text`
/// unchanged if there is no digit or the number does not fit 64 bits.
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

/// Number of readable bytes, of any content, that the pointer scanners below need after a text.
/// They read eight bytes at once because the CPU mispredicts the branches of a byte-by-byte loop
/// right after a system call.
inline constexpr std::size_t padding = 32;

namespace detail {

inline std::uint64_t eight_bytes(const char* at) noexcept {
  std::uint64_t bytes = 0;
  __builtin_memcpy(&bytes, at, sizeof bytes);
#if __BYTE_ORDER__ == __ORDER_BIG_ENDIAN__
  bytes = __builtin_bswap64(bytes);
#endif
  return bytes;
}

/// The first 0 to 8 decimal digits of a text and their value.
struct Digits {
  std::size_t count;
  std::uint64_t value;
};

inline Digits leading_digits(std::uint64_t bytes) noexcept {
  bytes ^= 0x3030303030303030;
  const std::uint64_t others = ((bytes + 0x7676767676767676) | bytes) & 0x8080808080808080;
  const std::size_t count = others == 0 ? 8 : static_cast<std::size_t>(__builtin_ctzll(others)) / 8;
  if (count == 0) return {0, 0};
  bytes <<= 8 * (8 - count);
  bytes = (bytes * 10 + (bytes >> 8)) & 0x00ff00ff00ff00ff;
  bytes = (bytes * 100 + (bytes >> 16)) & 0x0000ffff0000ffff;
  return {count, (bytes * 10000 + (bytes >> 32)) & 0xffffffff};
}

}  // namespace detail

/// A number and its end. `end` is the start of the text if there is no number or it does not fit 64
/// bits.
struct Number {
  const char* end;
  std::uint64_t value;
};

namespace detail {

/// Reads the rest of a number whose first eight digits have the value `head`.
inline Number long_number(const char* at, std::uint64_t head) noexcept {
  constexpr std::array<std::uint64_t, 9> power = {1,      10,      100,      1000,     10000,
                                                  100000, 1000000, 10000000, 100000000};
  constexpr std::size_t longest = std::numeric_limits<std::uint64_t>::digits10 + 1;
  const Digits more = leading_digits(eight_bytes(at + 8));
  std::uint64_t value = head * power[more.count] + more.value;
  if (more.count < 8) return {at + 8 + more.count, value};
  const Digits last = leading_digits(eight_bytes(at + 16));
  const std::size_t size = 16 + last.count;
  if (size <= longest) {
    const bool too_large = __builtin_mul_overflow(value, power[last.count], &value) ||
                           __builtin_add_overflow(value, last.value, &value);
    return too_large ? Number{at, 0} : Number{at + size, value};
  }
  std::string_view digits(at, longest + 1);
  if (!number(digits, value)) return {at, 0};
  return {at + longest + 1, value};
}

}  // namespace detail

/// Reads a number like number() above. The text must contain a byte that is no digit, followed by
/// `padding` readable bytes.
inline Number number(const char* at) noexcept {
  const detail::Digits head = detail::leading_digits(detail::eight_bytes(at));
  if (head.count == 8) return detail::long_number(at, head.value);
  return {at + head.count, head.value};
}

/// Reads all of `text` as one decimal number; a final newline is allowed. `padding` readable bytes
/// must follow the text, and the first of them must be no digit.
inline std::optional<std::uint64_t> padded_number(std::string_view text) noexcept {
  const char* const end = text.data() + text.size();
  const Number found = number(text.data());
  const bool whole = found.end == end || (*found.end == '\n' && found.end + 1 == end);
  if (found.end == text.data() || !whole) return std::nullopt;
  return found.value;
}

/// True if the first `size` bytes of both texts are the same. Reads up to 7 bytes more of each.
inline bool same_bytes(const char* one, const char* other, std::size_t size) noexcept {
  constexpr std::size_t step = sizeof(std::uint64_t);
  for (; size > step; size -= step, one += step, other += step) {
    if (detail::eight_bytes(one) != detail::eight_bytes(other)) return false;
  }
  const std::uint64_t differences = detail::eight_bytes(one) ^ detail::eight_bytes(other);
  return size == 0 || differences << (8 * (step - size)) == 0;
}

/// Returns the end of a name: the first ' ', '=' or '\n' at or after `at`. The caller guarantees
/// that there is one, followed by `padding` readable bytes.
inline const char* name_end(const char* at) noexcept {
  // Letters and '_' have this bit; ' ', '=' and '\n' do not.
  constexpr std::uint64_t letter = 0x4040404040404040;
  for (;;) {
    const std::uint64_t others = ~detail::eight_bytes(at) & letter;
    if (others == 0) {
      at += 8;
      continue;
    }
    at += static_cast<std::size_t>(__builtin_ctzll(others)) / 8;
    if (*at == ' ' || *at == '=' || *at == '\n') return at;
    ++at;
  }
}

/// Parses all of `text` as one decimal number; a final newline is allowed.
inline std::optional<std::uint64_t> whole_number(std::string_view text) noexcept {
  if (!text.empty() && text.back() == '\n') text.remove_suffix(1);
  std::uint64_t value = 0;
  if (!number(text, value) || !text.empty()) return std::nullopt;
  return value;
}

/// Cuts the first line off `text` and returns it without its newline. The last line may lack the
/// newline.
inline std::string_view line(std::string_view& text) noexcept {
  const std::size_t newline = text.find('\n');
  const std::string_view head = text.substr(0, newline);
  text.remove_prefix(newline == std::string_view::npos ? text.size() : newline + 1);
  return head;
}

/// Cuts the first field (separated by spaces or tabs) off `text`; empty if there is none.
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

/// True if `word` is one of the fields of the first line of `text`.
inline bool has_word(std::string_view text, std::string_view word) noexcept {
  std::string_view row = line(text);
  for (std::string_view found = field(row); !found.empty(); found = field(row)) {
    if (found == word) return true;
  }
  return false;
}

/// Returns the number of the line "KEY NUMBER" in a flat keyed file (`memory.stat`, `cgroup.stat`,
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

/// Counts the lines of a flat keyed file that are not "KEY NUMBER", for example with a negative
/// number.
inline std::size_t lines_without_number(std::string_view text) noexcept {
  std::size_t count = 0;
  while (!text.empty()) {
    const std::string_view row = line(text);
    const std::size_t space = row.find(' ');
    const bool keyed = space != 0 && space != std::string_view::npos;
    if (!keyed || !whole_number(row.substr(space + 1))) ++count;
  }
  return count;
}

/// Calls `visit(first, last)` for each range of a kernel list such as "0-3,8,10-11\n". Returns
/// false if the text is not such a list.
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
