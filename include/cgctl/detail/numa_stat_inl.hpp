// SPDX-FileCopyrightText: The cgctl authors
// SPDX-License-Identifier: MIT
#pragma once

#include <algorithm>

#include "cgctl/numa_stat.hpp"

namespace cgctl::numa {

/// NAME[=TOTAL] N<id>=<value> ...   with the total on v1 and without on v2. Returns where the next
/// line begins. There is a newline at or behind `name`, and parse::padding bytes behind that.
inline const char* NumaStat::parse_line(const char* name, Version version) {
  const char* const stop = parse::name_end(name);
  const std::size_t first = values_.size();
  const char* at = stop;
  bool good = stop != name && (*stop == '=') == (version == Version::v1);
  std::uint64_t total = 0;
  if (*stop == '=') {
    const parse::Number number = parse::number(stop + 1);
    good = good && number.end != stop + 1;
    total = number.value;
    at = number.end;
  }
  std::uint64_t sum = 0;
  while (good && *at == ' ' && at[1] == 'N') {
    const parse::Number node = parse::number(at + 2);
    const parse::Number value = parse::number(node.end + 1);
    good = node.end != at + 2 && node.value <= std::numeric_limits<std::uint32_t>::max() &&
           *node.end == '=' && value.end != node.end + 1;
    at = good ? value.end : node.end;
    NodeValue& entry = values_.emplace_back();
    entry.node = static_cast<std::uint32_t>(node.value);
    entry.value = value.value;
    sum += value.value;
  }
  if (!good || *at != '\n' || values_.size() == first) {
    values_.resize(first);
    ++skipped_;
    while (*at != '\n') ++at;
    return at + 1;
  }
  // Filled in place: a temporary made of small stores and copied as a whole stalls the CPU.
  Row& row = rows_.emplace_back();
  row.name = static_cast<std::uint32_t>(name - text_.data());
  row.name_size = static_cast<std::uint32_t>(stop - name);
  row.total = *stop == '=' ? total : sum;
  row.first = first;
  row.count = values_.size() - first;
  return at + 1;
}

/// `text` lies inside text_, parse::padding bytes from its end.
inline Status NumaStat::parse_rows(std::string_view text, Version version, std::string_view shown) {
  clear(version == Version::v1 ? Unit::pages : Unit::bytes, Source::file);
  const auto refuse = [&](errc kind, const char* reason) {
    rows_.clear();
    values_.clear();
    return fail(Error::make(kind, "parse", std::string(shown), reason));
  };
  if (text.empty()) return refuse(errc::truncated, "the file is empty");
  if (text.back() != '\n') return refuse(errc::truncated, "the text ends inside a line");

  // The lines that every v1 kernel has come first, in this order; the hierarchical ones since
  // Linux 3.16. A vendor's own lines may be about other nodes than these.
  constexpr std::array<std::string_view, 8> known = {"total",
                                                     "file",
                                                     "anon",
                                                     "unevictable",
                                                     "hierarchical_total",
                                                     "hierarchical_file",
                                                     "hierarchical_anon",
                                                     "hierarchical_unevictable"};
  unsigned seen = 0;
  const char* at = text.data();
  const char* const end = at + text.size();
  while (at != end) {
    const std::size_t rows = rows_.size();
    at = parse_line(at, version);
    if (rows_.size() == rows) continue;
    const bool other_nodes = rows_.back().count != rows_.front().count;
    if (version == Version::v1) {
      const std::string_view name = (*this)[size() - 1].name;
      std::size_t index = size() - 1;
      if (index >= known.size() || name != known[index]) {
        index =
            static_cast<std::size_t>(std::find(known.begin(), known.end(), name) - known.begin());
      }
      if (index == known.size() && (size() == 1 || other_nodes)) {
        values_.resize(rows_.back().first);
        rows_.pop_back();
        ++skipped_;
        continue;
      }
      if (index < known.size()) seen |= 1U << index;
    }
    if (other_nodes) return refuse(errc::malformed, "its lines disagree on the number of nodes");
  }
  if (rows_.empty()) return refuse(errc::malformed, "no line has the form of a numa_stat");
  constexpr unsigned plain = 0x0f;
  constexpr unsigned all = 0xff;
  if (version == Version::v1 && seen != plain && seen != all) {
    return refuse(errc::truncated, "some of the lines total, file, anon, unevictable are missing");
  }
  return {};
}

}  // namespace cgctl::numa
