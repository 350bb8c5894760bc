// SPDX-FileCopyrightText: The cgctl authors
// SPDX-License-Identifier: MIT
#pragma once

#include "cgctl/numa_stat.hpp"

namespace cgctl::numa {

/// NAME[=TOTAL] N<id>=<value> ...   with the total on v1 and without on v2.
inline bool NumaStat::parse_line(std::string_view line, Version version) {
  std::size_t stop = 0;
  while (stop < line.size() && line[stop] != '=' && line[stop] != ' ') ++stop;
  if (stop == 0 || stop == line.size()) return false;
  const char* const name = line.data();
  const bool with_total = line[stop] == '=';
  if (with_total != (version == Version::v1)) return false;
  line.remove_prefix(stop);

  std::uint64_t total = 0;
  if (with_total) {
    line.remove_prefix(1);
    if (!parse::number(line, total)) return false;
  }
  const std::size_t first = values_.size();
  std::uint64_t sum = 0;
  while (!line.empty()) {
    std::uint64_t node = 0;
    std::uint64_t value = 0;
    if (line.size() < 2 || line[0] != ' ' || line[1] != 'N') break;
    line.remove_prefix(2);
    if (!parse::number(line, node) || node > std::numeric_limits<std::uint32_t>::max()) break;
    if (line.empty() || line.front() != '=') break;
    line.remove_prefix(1);
    if (!parse::number(line, value)) break;
    values_.push_back({static_cast<std::uint32_t>(node), value});
    sum += value;
  }
  if (!line.empty() || values_.size() == first) {
    values_.resize(first);
    return false;
  }
  rows_.push_back({static_cast<std::uint32_t>(name - text_.data()),
                   static_cast<std::uint32_t>(stop), with_total ? total : sum, first,
                   values_.size() - first});
  return true;
}

/// `text` lies inside text_.
inline Status NumaStat::parse_rows(std::string_view text, Version version, std::string_view shown) {
  clear(version == Version::v1 ? Unit::pages : Unit::bytes, Source::file);
  const auto refuse = [&](errc kind, const char* reason) {
    rows_.clear();
    values_.clear();
    return fail(Error::make(kind, "parse", std::string(shown), reason));
  };
  if (text.empty()) return refuse(errc::truncated, "the file is empty");
  if (text.back() != '\n') return refuse(errc::truncated, "the text ends inside a line");

  // The lines that every v1 kernel has come first, in one order; the hierarchical ones since
  // Linux 3.16. A vendor's own lines may be about other nodes than these.
  unsigned plain = 0;
  unsigned hierarchical = 0;
  while (!text.empty()) {
    if (!parse_line(parse::line(text), version)) {
      ++skipped_;
      continue;
    }
    if (version == Version::v1) {
      std::string_view name = (*this)[size() - 1].name;
      constexpr std::string_view prefix = "hierarchical_";
      const bool below = parse::starts_with(name, prefix);
      if (below) name.remove_prefix(prefix.size());
      const unsigned bit = name == "total"         ? 1U
                           : name == "file"        ? 2U
                           : name == "anon"        ? 4U
                           : name == "unevictable" ? 8U
                                                   : 0U;
      const bool other_nodes = rows_.back().count != rows_.front().count;
      if (bit == 0 && (size() == 1 || other_nodes)) {
        values_.resize(rows_.back().first);
        rows_.pop_back();
        ++skipped_;
        continue;
      }
      (below ? hierarchical : plain) |= bit;
    }
    if (rows_.back().count != rows_.front().count) {
      return refuse(errc::malformed, "its lines disagree on the number of nodes");
    }
  }
  if (rows_.empty()) return refuse(errc::malformed, "no line has the form of a numa_stat");
  if (version == Version::v1 && (plain != 15 || (hierarchical != 0 && hierarchical != 15))) {
    return refuse(errc::truncated, "some of the lines total, file, anon, unevictable are missing");
  }
  return {};
}

}  // namespace cgctl::numa
