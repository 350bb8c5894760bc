// SPDX-FileCopyrightText: The cgctl authors
// SPDX-License-Identifier: MIT
#include <algorithm>
#include <array>
#include <cctype>
#include <charconv>
#include <optional>
#include <string>
#include <utility>
#include <vector>

#include "cgctl/numa_stat.hpp"
#include "require.hpp"

namespace {

using cgctl::Version;
using cgctl::numa::NumaStat;
using cgctl::numa::Unit;

void check(const NumaStat& out, std::string_view text, Version version) {
  require(!out.empty());
  require(out.unit() == (version == Version::v1 ? Unit::pages : Unit::bytes));
  const auto lines = static_cast<std::size_t>(std::count(text.begin(), text.end(), '\n'));
  require(out.size() + out.skipped_lines() == lines);
  for (std::size_t i = 0; i < out.size(); ++i) {
    const NumaStat::Stat stat = out[i];
    require(stat.count != 0 && stat.count == out[0].count);
    require(!stat.name.empty() && stat.name.find_first_of("= \n") == std::string_view::npos);
    require(text.find(stat.name) != std::string_view::npos);
    require(out.find(stat.name).has_value());
    std::uint64_t sum = 0;
    for (const auto& entry : stat) {
      require(stat.on(entry.node).has_value());
      sum += entry.value;
    }
    require(version == Version::v1 || stat.total == sum);
  }
  if (version == Version::v2) return;
  for (const char* name : {"total", "file", "anon", "unevictable"})
    require(out.find(name).has_value());
  const bool hierarchical = out.find("hierarchical_total").has_value();
  for (const char* name : {"file", "anon", "unevictable"})
    require(out.find(std::string("hierarchical_") + name).has_value() == hierarchical);
}

// ---- a second parser, as plain as possible

struct PlainLine {
  std::string name;
  std::uint64_t total = 0;
  std::vector<std::pair<std::uint32_t, std::uint64_t>> values;
};
struct Plain {
  std::vector<PlainLine> lines;
  std::size_t skipped = 0;
};

/// A number has at most this many digits, leading zeros included.
constexpr std::size_t most_digits = 21;

/// Reads a number of at most `digits` digits and removes it from the text.
template <class T>
bool take_number(std::string_view& text, T& out, std::size_t digits = most_digits) {
  if (text.empty() || std::isdigit(static_cast<unsigned char>(text[0])) == 0) return false;
  const auto read = std::from_chars(text.data(), text.data() + text.size(), out);
  const auto size = static_cast<std::size_t>(read.ptr - text.data());
  text.remove_prefix(size);
  return read.ec == std::errc() && size <= digits;
}

bool take(std::string_view& text, std::string_view wanted) {
  if (text.substr(0, wanted.size()) != wanted) return false;
  text.remove_prefix(wanted.size());
  return true;
}

std::optional<PlainLine> plain_line(std::string_view text, Version version) {
  PlainLine line;
  line.name = text.substr(0, text.find_first_of(" ="));
  text.remove_prefix(line.name.size());
  if (line.name.empty()) return std::nullopt;
  if (version == Version::v1 && (!take(text, "=") || !take_number(text, line.total)))
    return std::nullopt;
  while (!text.empty()) {
    std::uint32_t node = 0;
    std::uint64_t value = 0;
    if (!take(text, " N") || !take_number(text, node, 10) || !take(text, "=") ||
        !take_number(text, value)) {
      return std::nullopt;
    }
    line.values.emplace_back(node, value);
    if (version == Version::v2) line.total += value;
  }
  if (line.values.empty()) return std::nullopt;
  return line;
}

std::optional<Plain> plain(std::string_view text, Version version) {
  constexpr std::array<std::string_view, 8> v1_names = {
      "total",
      "file",
      "anon",
      "unevictable",
      "hierarchical_total",
      "hierarchical_file",
      "hierarchical_anon",
      "hierarchical_unevictable",
  };
  if (text.empty() || text.back() != '\n') return std::nullopt;
  Plain all;
  std::array<bool, v1_names.size()> seen{};
  while (!text.empty()) {
    const std::size_t end = text.find('\n');
    auto line = plain_line(text.substr(0, end), version);
    text.remove_prefix(end + 1);
    const bool other_nodes =
        line && !all.lines.empty() && all.lines[0].values.size() != line->values.size();
    const auto known =
        line ? static_cast<std::size_t>(std::find(v1_names.begin(), v1_names.end(), line->name) -
                                        v1_names.begin())
             : v1_names.size();
    const bool of_a_vendor = version == Version::v1 && known == v1_names.size();
    if (!line || (of_a_vendor && (all.lines.empty() || other_nodes))) {
      ++all.skipped;
      continue;
    }
    if (other_nodes) return std::nullopt;
    if (version == Version::v1 && !of_a_vendor) seen.at(known) = true;
    all.lines.push_back(std::move(*line));
  }
  if (all.lines.empty()) return std::nullopt;
  if (version == Version::v2) return all;
  const auto wanted = [&](std::size_t first, bool value) {
    return std::all_of(seen.begin() + first, seen.begin() + first + 4,
                       [=](bool one) { return one == value; });
  };
  return wanted(0, true) && (wanted(4, true) || wanted(4, false)) ? std::optional(all)
                                                                  : std::nullopt;
}

void compare(const NumaStat& out, const Plain& wanted) {
  require(out.skipped_lines() == wanted.skipped);
  require(out.size() == wanted.lines.size());
  for (std::size_t i = 0; i < out.size(); ++i) {
    const PlainLine& line = wanted.lines[i];
    require(out[i].name == line.name);
    require(out[i].total == line.total);
    require(out[i].count == line.values.size());
    for (std::size_t k = 0; k < line.values.size(); ++k) {
      require(out[i].first[k].node == line.values[k].first);
      require(out[i].first[k].value == line.values[k].second);
    }
  }
}

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  static NumaStat reused;
  const std::string_view text(reinterpret_cast<const char*>(data), size);
  for (const auto version : {Version::v1, Version::v2}) {
    NumaStat fresh;
    const bool parsed = cgctl::numa::parse(text, version, fresh).has_value();
    require(cgctl::numa::parse(text, version, reused).has_value() == parsed);
    require(reused.size() == fresh.size() && reused.skipped_lines() == fresh.skipped_lines());
    const std::optional<Plain> wanted = plain(text, version);
    require(parsed == wanted.has_value());
    if (parsed) {
      compare(fresh, *wanted);
      compare(reused, *wanted);
      check(fresh, text, version);
      check(reused, text, version);
    } else {
      require(fresh.empty());
    }
  }
  return 0;
}
