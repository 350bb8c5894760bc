// SPDX-FileCopyrightText: The cgctl authors
// SPDX-License-Identifier: MIT
#include "cli/setting_options.hpp"

#include <array>
#include <cmath>
#include <cstdlib>
#include <optional>
#include <string_view>
#include <utility>

#include "cgctl/parse.hpp"

namespace cgctl::tool {
namespace {

std::optional<double> bytes_per(std::string_view suffix) {
  if (suffix.empty() || suffix == "B" || suffix == "b") return 1;
  constexpr std::string_view letters = "kmgtp";
  const auto letter = static_cast<char>(suffix.front() | 0x20);
  const std::size_t power = letters.find(letter);
  suffix.remove_prefix(1);
  const bool known =
      suffix.empty() || suffix == "iB" || suffix == "ib" || suffix == "B" || suffix == "b";
  if (power == std::string_view::npos || !known) return std::nullopt;
  return std::pow(1024.0, static_cast<double>(power + 1));
}

}  // namespace

std::uint64_t parse_count(const std::string& text) {
  const auto number = parse::whole_number(text);
  if (!number) throw CLI::ValidationError(fmt::format("'{}': not a whole number", text));
  return *number;
}

bool parse_switch(const std::string& text) {
  if (text == "on" || text == "1" || text == "yes") return true;
  if (text == "off" || text == "0" || text == "no") return false;
  throw CLI::ValidationError(fmt::format("'{}': write on or off", text));
}

cpu::Conversion parse_conversion(const std::string& text) {
  const auto conversion = cpu::conversion_named(text);
  if (!conversion) {
    throw CLI::ValidationError(
        fmt::format("'{}': write kernel, systemd, oci2020 or oci2025", text));
  }
  return *conversion;
}

std::uint64_t parse_size(const std::string& text) {
  if (const auto whole = parse::whole_number(text)) return *whole;
  const std::size_t digits = text.find_first_not_of("0123456789.");
  const std::string number = text.substr(0, digits);
  const auto unit = bytes_per(std::string_view(text).substr(number.size()));
  char* end = nullptr;
  const double value = std::strtod(number.c_str(), &end);
  if (number.empty() || number.front() == '.' || *end != '\0' || !unit) {
    throw CLI::ValidationError(fmt::format(
        "'{}': not a size: write a number and K, M, G, T or P (powers of 1024), such as 512M",
        text));
  }
  constexpr double most = 9e18;
  if (value * *unit > most) throw CLI::ValidationError(fmt::format("'{}': too large", text));
  return static_cast<std::uint64_t>(value * *unit);
}

}  // namespace cgctl::tool
