// SPDX-FileCopyrightText: The cgctl authors
// SPDX-License-Identifier: MIT
#include <algorithm>
#include <array>
#include <cstring>
#include <limits>

#include "cgctl/numa_stat.hpp"
#ifdef __x86_64__
#include "detail/sixteen_bytes.hpp"
#endif

namespace cgctl::numa {
namespace {

/// The lines that every v1 kernel has, in its order (the hierarchical ones since Linux 3.16). They
/// come first; lines that a vendor added may list other nodes than these.
constexpr std::array<std::string_view, 8> v1_lines = {"total",
                                                      "file",
                                                      "anon",
                                                      "unevictable",
                                                      "hierarchical_total",
                                                      "hierarchical_file",
                                                      "hierarchical_anon",
                                                      "hierarchical_unevictable"};

/// Returns the bits of the lines of v1_lines from `first` up to and without `last`.
constexpr unsigned bits(std::size_t first, std::size_t last) {
  return (1U << last) - (1U << first);
}

}  // namespace

void NumaStat::clear(Unit unit, Source source) noexcept {
  unit_ = unit;
  source_ = source;
  skipped_ = 0;
  row_count_ = 0;
  used_ = 0;
}

Status NumaStat::refuse(errc kind, std::string_view shown, const char* reason) {
  row_count_ = 0;
  return fail(Error::make(kind, "parse", std::string(shown), reason));
}

void NumaStat::add_row(const Row& row) {
  if (row_count_ == rows_.size()) rows_.resize(2 * row_count_ + v1_lines.size());
  rows_[row_count_++] = row;
}

/// Parses one line, "NAME[=TOTAL] N<id>=<value> ...", with a total on v1 and without on v2. The
/// caller guarantees a newline at or after `name` and parse::padding bytes after the newline.
/// Returns the start of the next line.
const char* NumaStat::parse_line(const char* name, Version version) {
  const char* const stop = parse::name_end(name);
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
  constexpr std::ptrdiff_t most_digits = std::numeric_limits<std::uint32_t>::digits10 + 1;
  while (good && *at == ' ' && at[1] == 'N') {
    const parse::Number node = parse::number(at + 2);
    const std::ptrdiff_t digits = node.end - at - 2;
    const parse::Number value = parse::number(node.end + 1);
    good = digits != 0 && digits <= most_digits && *node.end == '=' && value.end != node.end + 1 &&
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
  add_row({static_cast<std::uint32_t>(name - text_.data()), static_cast<std::uint32_t>(stop - name),
           *stop == '=' ? total : sum, first, used_ - first});
  return at + 1;
}

/// Learns from the last row, which parse_line() made, what parse_known_lines() compares with.
void NumaStat::learn_prefixes() {
  const Row& row = rows_[row_count_ - 1];
  prefixes_.clear();
  for (std::size_t i = row.first; i < row.first + row.count; ++i) {
    const std::uint32_t node = values_[i].node;
    const std::string text = " N" + std::to_string(node) + "=";
    Prefix prefix{0, 0, node, static_cast<std::uint32_t>(text.size())};
    if (text.size() > sizeof prefix.text) return prefixes_.clear();
    std::memcpy(&prefix.text, text.data(), text.size());
    std::memset(&prefix.mask, 0xff, text.size());
    prefixes_.push_back(prefix);
  }
}

#ifdef __x86_64__

namespace {

using cgctl::detail::Start;

constexpr std::array<Start, v1_lines.size()> v1_starts = {
    Start("total="),
    Start("file="),
    Start("anon="),
    Start("unevictable="),
    Start("hierarchical_total="),
    Start("hierarchical_file="),
    Start("hierarchical_anon="),
    Start("hierarchical_unevictable="),
};

/// Returns the length of the name of the line that begins at `line` and whose first field ends at
/// `stop`; 0 if that must be found out by parse_line().
std::size_t name_size(const char* line, const char* stop, Version version, std::size_t row) {
  if (version == Version::v1) {
    return row < v1_starts.size() && v1_starts[row].is_at(line) ? v1_lines[row].size() : 0;
  }
  const auto size = static_cast<std::size_t>(stop - line);
  if (size > Start::most) return 0;
  const std::uint32_t equals =
      cgctl::detail::where_equal(line, '=') | cgctl::detail::where_equal(line + 16, '=') << 16;
  return (equals & ((1U << size) - 1)) == 0 ? size : 0;
}

}  // namespace

/// Parses lines that list the nodes of prefixes_ and begin as expected, up to the first other line.
/// Returns where it stopped. One comparison then replaces the parsing of a node's number, and the
/// ends of the values are known before the values are.
const char* NumaStat::parse_known_lines(const char* at, const char* end, Version version) {
  using cgctl::detail::Digits;
  const Prefix* const prefixes = prefixes_.data();
  const std::size_t count = prefixes_.size();
  if (count == 0 || (row_count_ != 0 && rows_[0].count != count)) return at;
  const char* const text = text_.data();
  cgctl::detail::FieldEnds ends(at);
  std::size_t row = row_count_;
  NodeValue* entry = values_.data() + used_;
  for (; at != end; ++row, entry += count) {
    const char* stop = ends.next();
    const std::size_t name = name_size(at, stop, version, row);
    if (name == 0) break;
    Digits digits;
    std::uint64_t total = 0;
    if (version == Version::v1) {
      const auto size = static_cast<std::size_t>(stop - at) - name - 1;
      if (size - 1 >= Digits::most) break;
      total = digits.value(stop, size);
    }
    std::uint64_t sum = 0;
    std::size_t i = 0;
    for (; i < count; ++i) {
      const Prefix& prefix = prefixes[i];
      std::uint64_t found = 0;
      std::memcpy(&found, stop, sizeof found);
      if (((found ^ prefix.text) & prefix.mask) != 0) break;
      const char* const value_end = ends.next();
      const auto size = static_cast<std::size_t>(value_end - stop) - prefix.size;
      if (size - 1 >= Digits::most) break;
      const std::uint64_t value = digits.value(value_end, size);
      entry[i] = {prefix.node, value};
      sum += value;
      stop = value_end;
    }
    if (i != count || *stop != '\n' || !digits.all_good()) break;
    if (row == rows_.size()) rows_.resize(2 * row + v1_lines.size());
    rows_[row] = {static_cast<std::uint32_t>(at - text), static_cast<std::uint32_t>(name),
                  version == Version::v1 ? total : sum,
                  static_cast<std::size_t>(entry - values_.data()), count};
    at = stop + 1;
  }
  row_count_ = row;
  used_ = static_cast<std::size_t>(entry - values_.data());
  return at;
}

#else

const char* NumaStat::parse_known_lines(const char* at, const char* /*end*/, Version /*version*/) {
  return at;
}

#endif

Status NumaStat::parse_rows(std::size_t size, Version version, std::string_view shown) {
  const bool v1 = version == Version::v1;
  clear(v1 ? Unit::pages : Unit::bytes, Source::file);
  const char* at = text_.data() + before;
  const char* const end = at + size;
  if (size == 0) return refuse(errc::truncated, shown, "the file is empty");
  if (end[-1] != '\n') return refuse(errc::truncated, shown, "the text ends inside a line");

  constexpr std::size_t shortest = std::string_view(" N0=0").size();
  if (values_.size() <= size / shortest) values_.resize(size / shortest + 1);
  unsigned seen = 0;
  bool learnt = false;
  for (;;) {
    const std::size_t known = row_count_;
    at = parse_known_lines(at, end, version);
    const std::size_t row = row_count_;
    if (v1) seen |= bits(known, row);
    if (at == end) break;
    at = parse_line(at, version);
    if (row_count_ == row) continue;
    const bool other_nodes = rows_[row].count != rows_[0].count;
    if (v1) {
      const auto* const found = std::find(v1_lines.begin(), v1_lines.end(), (*this)[row].name);
      const auto index = static_cast<std::size_t>(found - v1_lines.begin());
      if (index == v1_lines.size() && (row == 0 || other_nodes)) {
        used_ = rows_[row].first;
        row_count_ = row;
        ++skipped_;
        continue;
      }
      if (index < v1_lines.size()) seen |= bits(index, index + 1);
    }
    if (other_nodes)
      return refuse(errc::malformed, shown, "its lines disagree on the number of nodes");
    if (!learnt) learn_prefixes();
    learnt = true;
  }
  if (row_count_ == 0) return refuse(errc::malformed, shown, "no line has the form of a numa_stat");
  constexpr unsigned plain = bits(0, 4);
  constexpr unsigned all = bits(0, v1_lines.size());
  if (v1 && seen != plain && seen != all) {
    return refuse(errc::truncated, shown,
                  "some of the lines total, file, anon, unevictable are missing");
  }
  return {};
}

}  // namespace cgctl::numa
