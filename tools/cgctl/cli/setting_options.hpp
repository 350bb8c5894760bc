// SPDX-FileCopyrightText: The cgctl authors
// SPDX-License-Identifier: MIT
#pragma once

#include <fmt/format.h>

#include <CLI/CLI.hpp>
#include <cstdint>
#include <string>

#include "cgctl/cpu.hpp"

/// Helpers for options that set one value each. The parsers throw CLI::ValidationError.
namespace cgctl::tool {

/// True for "max" (v2), "-1" (v1) and "none": the words for no limit.
inline bool means_none(const std::string& text) {
  return text == "max" || text == "none" || text == "-1";
}

std::uint64_t parse_count(const std::string& text);
/// Parses "on" or "off".
bool parse_switch(const std::string& text);
/// Parses the name of a conversion between shares and weight.
cpu::Conversion parse_conversion(const std::string& text);
/// Parses bytes: "512M", "1.5G", "64KiB", "4096". Every suffix is a power of 1024, as in the
/// kernel.
std::uint64_t parse_size(const std::string& text);

inline constexpr const char* conversion_help =
    "formula between shares and weight, where the kernel\nhas the other one: kernel (default), "
    "systemd,\noci2020 or oci2025";

/// Adds an option and passes its text to `take`. The message of an error that `take` throws gets
/// the option's name in front, the first of several names (separated by commas).
template <class Take>
CLI::Option* add_setting(CLI::App& command, const char* group, const std::string& name,
                         const char* type, const char* description, Take take) {
  const std::string first = name.substr(0, name.find(','));
  const auto check = [first, take](const std::string& text) {
    try {
      take(text);
    } catch (const CLI::ValidationError& error) {
      throw CLI::ValidationError(fmt::format("{} {}", first, error.what()));
    }
  };
  return command.add_option_function<std::string>(name, check, description)
      ->type_name(type)
      ->group(group);
}

}  // namespace cgctl::tool
