// SPDX-FileCopyrightText: The cgctl authors
// SPDX-License-Identifier: MIT
#pragma once

#include <fmt/format.h>

#include <algorithm>
#include <cstdint>
#include <optional>
#include <string>
#include <string_view>

#include "cgctl/parse.hpp"
#include "detail/fnv1a.hpp"

/// The texts of state files: lines of words, the last one a checksum of the others.
namespace cgctl::detail {

/// Parses a text of lines that each begin with a key. After the first mismatch, ok() is false and
/// all values are empty.
class Scanner {
 public:
  explicit Scanner(std::string_view text) : text_(text) {}

  [[nodiscard]] bool ok() const { return ok_; }

  void line(std::string_view key) {
    if (!line_.empty()) ok_ = false;
    // A last line without a newline was cut off.
    if (text_.find('\n') == std::string_view::npos) ok_ = false;
    line_ = parse::line(text_);
    if (line_.substr(0, key.size()) != key) {
      ok_ = false;
    } else {
      line_.remove_prefix(key.size());
    }
  }
  /// True if the next line begins with `key`.
  [[nodiscard]] bool follows(std::string_view key) const {
    return ok_ && line_.empty() && parse::starts_with(text_, key);
  }
  [[nodiscard]] bool more_in_line() const { return ok_ && !line_.empty(); }
  [[nodiscard]] bool at_end() const { return ok_ && line_.empty() && text_.empty(); }

  std::string_view word() {
    const std::string_view word = parse::field(line_);
    if (word.empty()) ok_ = false;
    return word;
  }
  std::int64_t number() { return number(word()); }
  std::uint64_t count() {
    const std::int64_t value = number();
    if (value < 0) ok_ = false;
    return static_cast<std::uint64_t>(std::max<std::int64_t>(value, 0));
  }
  /// Parses a number that may be negative.
  std::int64_t number(std::string_view text) {
    const bool negative = !text.empty() && text.front() == '-';
    if (negative) text.remove_prefix(1);
    const auto value = parse::whole_number(text);
    if (!value || *value > static_cast<std::uint64_t>(sane)) {
      ok_ = false;
      return 0;
    }
    return negative ? -static_cast<std::int64_t>(*value) : static_cast<std::int64_t>(*value);
  }

 private:
  static constexpr std::int64_t sane = 1'000'000'000'000;

  std::string_view text_;
  std::string_view line_;
  bool ok_ = true;
};

inline std::string checksum_line(std::string_view text) {
  return fmt::format("sum {:016x}\n", fnv1a(text));
}

/// Returns the text without its last line, if that is the checksum of the others.
inline std::optional<std::string_view> without_checksum(std::string_view text) {
  const std::size_t size = checksum_line({}).size();
  if (text.size() < size) return std::nullopt;
  const std::string_view others = text.substr(0, text.size() - size);
  if (text.substr(others.size()) != checksum_line(others)) return std::nullopt;
  return others;
}

}  // namespace cgctl::detail
