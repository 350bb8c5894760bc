// SPDX-FileCopyrightText: The cgctl authors
// SPDX-License-Identifier: MIT
#include "mitigate/openmetrics.hpp"

#include <fmt/format.h>

#include <algorithm>

#include "cgctl/parse.hpp"

namespace cgctl::tool {
namespace {

/// Returns the value of the header Accept of a request in lower case; empty if there is none.
std::string_view accepted(std::string_view request) {
  constexpr std::string_view name = "accept:";
  while (!request.empty()) {
    const std::string_view row = parse::line(request);
    if (parse::starts_with(row, name)) return row.substr(name.size());
  }
  return {};
}

/// Returns the quality among the parameters of a media type, in thousandths.
unsigned quality(std::string_view parameters) {
  constexpr unsigned one = 1000;
  constexpr std::string_view key = "q=";
  const std::size_t at = parameters.find(key);
  if (at == std::string_view::npos) return one;
  parameters.remove_prefix(at + key.size());
  if (!parse::starts_with(parameters, "0")) return one;
  parameters.remove_prefix(std::min<std::size_t>(parameters.size(), 2));
  unsigned value = 0;
  unsigned place = one / 10;
  for (; !parameters.empty() && place != 0; place /= 10, parameters.remove_prefix(1)) {
    const unsigned digit = static_cast<unsigned char>(parameters.front()) - unsigned{'0'};
    if (digit > 9) break;
    value += digit * place;
  }
  return value;
}

/// Returns the quality of a media type in a header Accept, 0 if it is not there.
unsigned quality_of(std::string_view accept, std::string_view type) {
  while (!accept.empty()) {
    const std::size_t comma = accept.find(',');
    std::string_view one = accept.substr(0, comma);
    accept.remove_prefix(comma == std::string_view::npos ? accept.size() : comma + 1);
    one.remove_prefix(std::min(one.find_first_not_of(" \t"), one.size()));
    if (parse::starts_with(one, type)) return quality(one.substr(type.size()));
  }
  return 0;
}

bool has_ending(std::string_view text, std::string_view ending) {
  return text.size() > ending.size() && text.substr(text.size() - ending.size()) == ending;
}

std::string_view without(std::string_view name, std::string_view ending) {
  if (has_ending(name, ending)) name.remove_suffix(ending.size());
  return name;
}

/// Adds the line "# HELP NAME TEXT" or "# TYPE NAME TYPE" of a family, and its unit.
void add_about(std::string& out, std::string_view row) {
  parse::field(row);
  const std::string_view key = parse::field(row);
  const std::string_view name = parse::field(row);
  const std::string_view family = without(without(name, "_total"), "_info");
  const bool type = key == "TYPE";
  out += fmt::format("# {} {}{}\n", key, family, type && has_ending(name, "_info") ? " info" : row);
  for (const std::string_view unit : {"_seconds", "_bytes"}) {
    if (type && has_ending(family, unit)) {
      out += fmt::format("# UNIT {} {}\n", family, unit.substr(1));
    }
  }
}

}  // namespace

bool prefers_openmetrics(std::string_view request) {
  std::string lower(request);
  std::transform(lower.begin(), lower.end(), lower.begin(), [](char c) {
    return c >= 'A' && c <= 'Z' ? static_cast<char>(c + 'a' - 'A') : c;
  });
  const std::string_view accept = accepted(lower);
  const unsigned open = quality_of(accept, "application/openmetrics-text");
  return open != 0 && open >= quality_of(accept, "text/plain");
}

std::string openmetrics(std::string_view text) {
  std::string out;
  while (!text.empty()) {
    const std::string_view row = parse::line(text);
    if (parse::starts_with(row, "#")) {
      add_about(out, row);
    } else {
      out.append(row).append("\n");
    }
  }
  return out += "# EOF\n";
}

}  // namespace cgctl::tool
