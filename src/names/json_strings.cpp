// SPDX-FileCopyrightText: The cgctl authors
// SPDX-License-Identifier: MIT
#include "names/json_strings.hpp"

#include <algorithm>

namespace cgctl::names {
namespace {

constexpr std::size_t deepest = 32;

bool is_blank(char c) { return c == ' ' || c == '\t' || c == '\n' || c == '\r'; }

int hex_value(char c) {
  if (c >= '0' && c <= '9') return c - '0';
  if (c >= 'a' && c <= 'f') return c - 'a' + 10;
  if (c >= 'A' && c <= 'F') return c - 'A' + 10;
  return -1;
}

void append_utf8(std::string& out, unsigned code) {
  const auto add = [&out](unsigned byte) { out.push_back(static_cast<char>(byte)); };
  if (code < 0x80U) return add(code);
  if (code < 0x800U) {
    add(0xC0U | (code >> 6U));
  } else if (code < 0x10000U) {
    add(0xE0U | (code >> 12U));
    add(0x80U | ((code >> 6U) & 0x3FU));
  } else {
    add(0xF0U | (code >> 18U));
    add(0x80U | ((code >> 12U) & 0x3FU));
    add(0x80U | ((code >> 6U) & 0x3FU));
  }
  add(0x80U | (code & 0x3FU));
}

}  // namespace

bool JsonStrings::at(std::initializer_list<std::string_view> keys) const noexcept {
  return std::equal(keys_.begin(), keys_.end(), keys.begin(), keys.end());
}

bool JsonStrings::take_code(unsigned& out) {
  constexpr std::size_t digits = 4;
  if (rest_.size() < digits) return false;
  out = 0;
  for (std::size_t i = 0; i < digits; ++i) {
    const int digit = hex_value(rest_[i]);
    if (digit < 0) return false;
    out = out * 16 + static_cast<unsigned>(digit);
  }
  rest_.remove_prefix(digits);
  return true;
}

bool JsonStrings::take_escape(std::string& out) {
  constexpr std::string_view letters = "\"\\/bfnrt";
  constexpr std::string_view meant = "\"\\/\b\f\n\r\t";
  if (rest_.empty()) return false;
  const char letter = rest_.front();
  rest_.remove_prefix(1);
  const std::size_t at = letters.find(letter);
  if (at != std::string_view::npos) {
    out.push_back(meant[at]);
    return true;
  }
  unsigned code = 0;
  if (letter != 'u' || !take_code(code)) return false;
  if (code >= 0xDC00U && code < 0xE000U) return false;
  if (code >= 0xD800U && code < 0xDC00U) {
    unsigned low = 0;
    if (rest_.substr(0, 2) != "\\u") return false;
    rest_.remove_prefix(2);
    if (!take_code(low) || low < 0xDC00U || low >= 0xE000U) return false;
    code = 0x10000U + ((code - 0xD800U) << 10U) + (low - 0xDC00U);
  }
  append_utf8(out, code);
  return true;
}

bool JsonStrings::take_string() {
  rest_.remove_prefix(1);
  value_.clear();
  while (!rest_.empty()) {
    const char c = rest_.front();
    rest_.remove_prefix(1);
    if (c == '"') return true;
    if (static_cast<unsigned char>(c) < ' ') return false;
    if (c != '\\') {
      value_.push_back(c);
    } else if (!take_escape(value_)) {
      return false;
    }
  }
  return false;
}

bool JsonStrings::open(char bracket) {
  if (kinds_.size() == deepest) return false;
  rest_.remove_prefix(1);
  kinds_.push_back(bracket);
  keys_.emplace_back();
  expects_key_ = bracket == '{';
  return true;
}

bool JsonStrings::close(char bracket) {
  if (kinds_.empty() || kinds_.back() != bracket) return false;
  rest_.remove_prefix(1);
  kinds_.pop_back();
  keys_.pop_back();
  expects_key_ = false;
  return true;
}

bool JsonStrings::take_key() {
  keys_.back() = value_;
  while (!rest_.empty() && is_blank(rest_.front())) rest_.remove_prefix(1);
  if (rest_.empty() || rest_.front() != ':') return false;
  rest_.remove_prefix(1);
  expects_key_ = false;
  return true;
}

/// Passes over a number, true, false or null.
bool JsonStrings::pass_literal() {
  constexpr std::string_view letters = "+-.0123456789Eaeflnrstu";
  const std::size_t end = std::min(rest_.find_first_not_of(letters), rest_.size());
  rest_.remove_prefix(end);
  return end != 0 && !expects_key_;
}

/// Passes over a part of the text. Returns false if it is no JSON.
bool JsonStrings::step() {
  switch (rest_.front()) {
    case '{':
    case '[':
      return !expects_key_ && open(rest_.front());
    case '}':
      return close('{');
    case ']':
      return close('[');
    case ',':
      rest_.remove_prefix(1);
      expects_key_ = !kinds_.empty() && kinds_.back() == '{';
      return !kinds_.empty();
    case '"':
      if (!take_string()) return false;
      if (expects_key_) return take_key();
      found_ = true;
      return true;
    default:
      return pass_literal();
  }
}

bool JsonStrings::next() {
  found_ = false;
  while (!found_ && !broken_) {
    while (!rest_.empty() && is_blank(rest_.front())) rest_.remove_prefix(1);
    if (rest_.empty()) break;
    broken_ = !step();
  }
  if (!found_ && !kinds_.empty()) broken_ = true;
  return found_ && !broken_;
}

}  // namespace cgctl::names
