// SPDX-FileCopyrightText: The cgctl authors
// SPDX-License-Identifier: MIT
#pragma once

#include <limits>

#include "cgctl/numa_stat.hpp"

namespace cgctl::numa {

/// Parses one line, "NAME[=TOTAL] N<id>=<value> ...", with a total on v1 and without on v2. The
/// name ends at `stop`. The caller guarantees a newline at or after `stop` and parse::padding bytes
/// after the newline. Returns the start of the next line.
inline const char* NumaStat::parse_line(const char* name, const char* stop, Version version) {
  const std::size_t first = used_;
  NodeValue* entry = values_.data() + first;
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
  // Guesses that a node id has as many digits as the one before: the CPU can then read the value
  // without waiting for the end of the id.
  constexpr std::size_t most_digits = std::numeric_limits<std::uint32_t>::digits10 + 1;
  std::size_t digits = 1;
  while (good && *at == ' ' && at[1] == 'N') {
    const parse::Number node = parse::number(at + 2);
    const char* begin = at + 3 + digits;
    parse::Number value = parse::number(begin);
    if (node.end + 1 != begin) {
      digits = static_cast<std::size_t>(node.end - at) - 2;
      begin = node.end + 1;
      value = parse::number(begin);
    }
    good = digits != 0 && digits <= most_digits && *node.end == '=' && value.end != begin &&
           node.value <= std::numeric_limits<std::uint32_t>::max();
    at = good ? value.end : node.end;
    entry->node = static_cast<std::uint32_t>(node.value);
    entry->value = value.value;
    ++entry;
    sum += value.value;
  }
  used_ = static_cast<std::size_t>(entry - values_.data());
  if (!good || *at != '\n' || used_ == first) {
    used_ = first;
    ++skipped_;
    while (*at != '\n') ++at;
    return at + 1;
  }
  // The row is filled in place: copying a temporary that was just written in pieces stalls the CPU.
  Row& row = add_row();
  row.name = static_cast<std::uint32_t>(name - text_.data());
  row.name_size = static_cast<std::uint32_t>(stop - name);
  row.total = *stop == '=' ? total : sum;
  row.first = first;
  row.count = used_ - first;
  return at + 1;
}

/// Parses all lines of `text`, which lies inside text_ with parse::padding bytes after its end.
inline Status NumaStat::parse_rows(std::string_view text, Version version, std::string_view shown) {
  clear(version == Version::v1 ? Unit::pages : Unit::bytes, Source::file);
  if (text.empty()) return refuse(errc::truncated, shown, "the file is empty");
  if (text.back() != '\n') return refuse(errc::truncated, shown, "the text ends inside a line");

  // The lines that every v1 kernel has come first, in this order (the hierarchical ones since Linux
  // 3.16). Lines that a vendor added may list other nodes than these.
  constexpr std::array<std::string_view, 8> known = {"total",
                                                     "file",
                                                     "anon",
                                                     "unevictable",
                                                     "hierarchical_total",
                                                     "hierarchical_file",
                                                     "hierarchical_anon",
                                                     "hierarchical_unevictable"};
  const auto is_named = [](const char* at, std::string_view name) {
    return std::string_view(at, name.size()) == name && at[name.size()] == '=';
  };
  constexpr std::size_t shortest = std::string_view(" N0=0").size();
  if (values_.size() <= text.size() / shortest) make_room(text.size() / shortest + 1);
  unsigned seen = 0;
  const char* at = text.data();
  const char* const end = at + text.size();
  while (at != end) {
    const std::size_t row = rows_.size();
    // The padding after the text is longer than any name, so is_named() reads no foreign memory.
    const bool expected = version == Version::v1 && row < known.size() && is_named(at, known[row]);
    at = parse_line(at, expected ? at + known[row].size() : parse::name_end(at), version);
    if (rows_.size() == row) continue;
    const bool other_nodes = rows_.back().count != rows_.front().count;
    if (version == Version::v1) {
      std::size_t index = row;
      if (!expected) {
        const std::string_view name = (*this)[row].name;
        index = 0;
        while (index < known.size() && known[index] != name) ++index;
      }
      if (index == known.size() && (row == 0 || other_nodes)) {
        used_ = rows_.back().first;
        rows_.pop_back();
        ++skipped_;
        continue;
      }
      if (index < known.size()) seen |= 1U << index;
    }
    if (other_nodes)
      return refuse(errc::malformed, shown, "its lines disagree on the number of nodes");
  }
  if (rows_.empty()) return refuse(errc::malformed, shown, "no line has the form of a numa_stat");
  constexpr unsigned plain = 0x0f;
  constexpr unsigned all = 0xff;
  if (version == Version::v1 && seen != plain && seen != all) {
    return refuse(errc::truncated, shown,
                  "some of the lines total, file, anon, unevictable are missing");
  }
  return {};
}

}  // namespace cgctl::numa
