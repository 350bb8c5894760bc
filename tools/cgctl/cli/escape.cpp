// SPDX-FileCopyrightText: The cgctl authors
// SPDX-License-Identifier: MIT
#include "cli/escape.hpp"

#include <fmt/format.h>

#include <algorithm>
#include <array>
#include <cstddef>
#include <cstdint>
#include <nlohmann/json.hpp>
#include <utility>
#include <vector>

namespace cgctl::tool {
namespace {

/// A character of UTF-8, or one byte that is not UTF-8.
struct Character {
  std::size_t bytes = 1;
  std::optional<std::uint32_t> code;
};

unsigned char byte_at(std::string_view text, std::size_t at) {
  return static_cast<unsigned char>(text[at]);
}

/// Returns the number of bytes of a character that begins with `first`; 0 if none does.
std::size_t length_of(unsigned char first) {
  if (first < 0x80) return 1;
  if (first >= 0xc2 && first < 0xe0) return 2;
  if (first >= 0xe0 && first < 0xf0) return 3;
  return first >= 0xf0 && first < 0xf5 ? 4 : 0;
}

Character first_of(std::string_view text) {
  constexpr std::array<std::uint32_t, 5> smallest = {0, 0, 0x80, 0x800, 0x10000};
  const unsigned char first = byte_at(text, 0);
  const std::size_t length = length_of(first);
  if (length == 1) return {1, first};
  if (length == 0 || length > text.size()) return {};
  std::uint32_t code = first & (0x7fU >> length);
  for (std::size_t i = 1; i < length; ++i) {
    if ((byte_at(text, i) & 0xc0U) != 0x80U) return {};
    code = code << 6U | (byte_at(text, i) & 0x3fU);
  }
  const bool surrogate = code >= 0xd800 && code < 0xe000;
  if (code < smallest.at(length) || code > 0x10ffff || surrogate) return {};
  return {length, code};
}

/// True for characters that a terminal obeys or shows as something else.
bool is_unsafe(std::uint32_t code) {
  struct Range {
    std::uint32_t first;
    std::uint32_t last;
  };
  constexpr std::array<Range, 8> unsafe = {{{0x00, 0x1f},
                                            {0x7f, 0x9f},
                                            {0x61c, 0x61c},
                                            {0x200b, 0x200f},
                                            {0x2028, 0x202e},
                                            {0x2060, 0x2069},
                                            {0xfeff, 0xfeff},
                                            {0xe0000, 0xe007f}}};
  return std::any_of(unsafe.begin(), unsafe.end(), [code](const Range& range) {
    return code >= range.first && code <= range.last;
  });
}

/// Returns the colour sequence of paint() that `text` begins with; empty if there is none.
std::string_view colour_of(std::string_view text) {
  for (const std::string_view colour : {"\x1b[0m", "\x1b[1m", "\x1b[31m", "\x1b[32m", "\x1b[33m"}) {
    if (text.substr(0, colour.size()) == colour) return colour;
  }
  return {};
}

template <class Keep>
std::string escape(std::string_view text, Keep keep) {
  std::string out;
  while (!text.empty()) {
    const Character character = first_of(text);
    const std::size_t kept = keep(text);
    const bool safe = character.code && !is_unsafe(*character.code);
    const std::size_t bytes = kept != 0 ? kept : character.bytes;
    for (std::size_t i = 0; i < bytes; ++i) {
      if (safe || kept != 0) {
        out += text[i];
      } else {
        out += fmt::format("\\x{:02x}", byte_at(text, i));
      }
    }
    text.remove_prefix(bytes);
  }
  return out;
}

constexpr std::string_view digits =
    "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";

/// True for a string that is not UTF-8, or an array with such a string.
template <class Json>
bool has_bytes(const Json& value) {
  if (value.is_string()) return !is_utf8(value.template get_ref<const std::string&>());
  return value.is_array() && std::any_of(value.begin(), value.end(), [](const Json& one) {
           return one.is_string() && !is_utf8(one.template get_ref<const std::string&>());
         });
}

template <class Json>
Json in_base64(const Json& value) {
  if (value.is_string()) return to_base64(value.template get_ref<const std::string&>());
  Json all = Json::array();
  for (const Json& one : value) {
    all.push_back(one.is_string() ? Json(to_base64(one.template get_ref<const std::string&>()))
                                  : one);
  }
  return all;
}

// The recursion is as deep as the command's own reports.
template <class Json>
void keep(Json& value) {
  std::vector<std::pair<std::string, Json>> exact;
  for (auto member = value.begin(); member != value.end(); ++member) {
    if (member->is_structured()) keep(*member);
    if (value.is_object() && has_bytes(*member)) {
      exact.emplace_back(member.key() + "_base64", in_base64(*member));
    }
  }
  for (auto& [key, bytes] : exact) value[key] = std::move(bytes);
}

}  // namespace

std::string escaped(std::string_view text) {
  return escape(text, [](std::string_view /*rest*/) { return std::size_t{0}; });
}

std::string escaped_lines(std::string_view text) {
  return escape(text, [](std::string_view rest) {
    const bool blank = rest.front() == '\n' || rest.front() == '\t';
    return blank ? std::size_t{1} : colour_of(rest).size();
  });
}

bool is_utf8(std::string_view text) {
  while (!text.empty()) {
    const Character character = first_of(text);
    if (!character.code) return false;
    text.remove_prefix(character.bytes);
  }
  return true;
}

std::string quoted(const std::string& word) {
  constexpr const char* plain =
      "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789/._-+,:@%=";
  if (!word.empty() && word.find_first_not_of(plain) == std::string::npos) return word;
  std::string out = "'";
  for (const char c : word) out += c == '\'' ? std::string("'\\''") : std::string(1, c);
  return out += "'";
}

std::string to_base64(std::string_view bytes) {
  std::string out;
  for (; !bytes.empty(); bytes.remove_prefix(std::min<std::size_t>(3, bytes.size()))) {
    std::uint32_t three = 0;
    for (std::size_t i = 0; i < 3; ++i) {
      three = three << 8U | (i < bytes.size() ? byte_at(bytes, i) : 0U);
    }
    for (std::size_t i = 0; i < 4; ++i) {
      out += i <= bytes.size() ? digits[three >> (18 - 6 * i) & 0x3fU] : '=';
    }
  }
  return out;
}

std::optional<std::string> from_base64(std::string_view text) {
  const std::size_t padding = text.size() - std::min(text.find('='), text.size());
  if (text.size() % 4 != 0 || padding > 2 ||
      text.substr(text.size() - padding) != std::string(padding, '=')) {
    return std::nullopt;
  }
  std::string out;
  std::uint32_t bits = 0;
  unsigned have = 0;
  for (const char c : text.substr(0, text.size() - padding)) {
    const std::size_t digit = digits.find(c);
    if (digit == std::string_view::npos) return std::nullopt;
    bits = bits << 6U | static_cast<std::uint32_t>(digit);
    have += 6;
    if (have < 8) continue;
    have -= 8;
    out += static_cast<char>(bits >> have & 0xffU);
  }
  return out;
}

void keep_bytes(nlohmann::json& object) { keep(object); }
void keep_bytes(nlohmann::ordered_json& object) { keep(object); }

}  // namespace cgctl::tool
