// SPDX-FileCopyrightText: The cgctl authors
// SPDX-License-Identifier: MIT
#include "top/columns.hpp"

#include <fmt/format.h>

#include <algorithm>
#include <cmath>

#include "cli/units.hpp"

namespace cgctl::tool::top_command {
namespace {

constexpr std::array<ColumnText, column_count> texts = {{
    {"cpu", "CPU", "cpus", Kind::cpus, 6, true, true},
    {"limit", "%LIMIT", "percent_of_limit", Kind::percent, 6, false, true},
    {"throttled", "%THROT", "percent_throttled", Kind::percent, 6, true, true},
    {"memory", "MEMORY", "memory_bytes", Kind::bytes, 6, true, false},
    {"working-set", "WSET", "working_set_bytes", Kind::bytes, 6, true, false},
    {"tasks", "TASKS", "tasks", Kind::count, 6, false, false},
    {"max", "MAX", "memory_max_bytes", Kind::bytes, 6, false, false},
    {"swap", "SWAP", "swap_bytes", Kind::bytes, 6, false, false},
    {"read", "READ/s", "read_bytes_per_second", Kind::rate, 7, false, true},
    {"write", "WRITE/s", "write_bytes_per_second", Kind::rate, 7, false, true},
    {"memory-some", "MEM PSI", "memory_some_avg10", Kind::percent, 7, false, false},
    {"io-some", "IO PSI", "io_some_avg10", Kind::percent, 7, false, false},
    {"cpu-some", "CPU PSI", "cpu_some_avg10", Kind::percent, 7, false, false},
    {"oom", "OOM", "oom_kills_total", Kind::count, 5, false, false},
    {"zombies", "ZOMBIES", "zombies_below", Kind::count, 7, false, false},
    {"anon", "ANON", "anon_bytes", Kind::bytes, 6, true, false},
    {"file", "FILE", "file_bytes", Kind::bytes, 6, true, false},
    {"memory-full", "MEM FULL", "memory_full_avg10", Kind::percent, 8, false, false},
    {"io-full", "IO FULL", "io_full_avg10", Kind::percent, 8, false, false},
    {"cpu-full", "CPU FULL", "cpu_full_avg10", Kind::percent, 8, false, false},
    {"processes", "PROCESSES", "processes", Kind::count, 9, false, false},
    {"age", "AGE", "age_s", Kind::time, 6, false, false},
}};

std::vector<Column> all_columns() {
  constexpr auto last = static_cast<std::size_t>(Column::cpu_full);
  std::vector<Column> all;
  for (std::size_t i = 0; i <= last; ++i) all.push_back(static_cast<Column>(i));
  return all;
}

/// Returns "1.5G" for "1.5 GiB", "12B" for "12 B".
std::string short_bytes(double bytes) {
  std::string text = human_bytes(static_cast<std::uint64_t>(bytes));
  text.erase(text.find(' '), 1);
  const std::size_t unit = text.find("iB");
  if (unit != std::string::npos) text.erase(unit);
  return text;
}

/// Returns "12s", "3.2min", "5h", "12d".
std::string short_time(double seconds) {
  constexpr double minute = 60;
  constexpr double hour = 60 * minute;
  constexpr double day = 24 * hour;
  constexpr double two = 2;  // of the next unit: below it the smaller one says more
  if (seconds < two * minute) return fmt::format("{:.0f}s", seconds);
  if (seconds < two * hour) return fmt::format("{:.3g}min", seconds / minute);
  if (seconds < two * day) return fmt::format("{:.3g}h", seconds / hour);
  return fmt::format("{:.0f}d", seconds / day);
}

Alarm alarm(double figure, double high, double critical) noexcept {
  if (figure >= critical) return Alarm::critical;  // false for NaN
  return figure >= high ? Alarm::high : Alarm::none;
}

}  // namespace

const ColumnText& text_of(Column column) noexcept {
  return texts[static_cast<std::size_t>(column)];
}

std::optional<Column> column_named(std::string_view name) noexcept {
  const auto found = std::find_if(texts.begin(), texts.end(),
                                  [&](const ColumnText& text) { return text.name == name; });
  if (found == texts.end()) return std::nullopt;
  return static_cast<Column>(found - texts.begin());
}

const std::vector<Preset>& presets() {
  using C = Column;
  static const std::vector<Preset> list = {
      {"all", all_columns()},
      {"cpu", {C::cpu, C::limit, C::throttled, C::cpu_some, C::cpu_full, C::tasks}},
      {"memory",
       {C::memory, C::max, C::working_set, C::anon, C::file, C::swap, C::memory_some,
        C::memory_full, C::oom, C::zombies}},
      {"io", {C::read, C::write, C::io_some, C::io_full, C::cpu, C::memory}},
      {"pressure",
       {C::cpu_some, C::cpu_full, C::memory_some, C::memory_full, C::io_some, C::io_full}},
  };
  return list;
}

std::vector<Column> columns_named(std::string_view text, std::string& wrong) {
  for (const Preset& preset : presets()) {
    if (text == preset.name) return preset.columns;
  }
  std::vector<Column> columns;
  for (bool more = true; more;) {
    const std::size_t end = std::min(text.find(','), text.size());
    const auto column = column_named(text.substr(0, end));
    if (!column) {
      wrong.assign(text.substr(0, end));
      return {};
    }
    columns.push_back(*column);
    more = end < text.size();
    text.remove_prefix(std::min(end + 1, text.size()));
  }
  return columns;
}

std::string cell_of(Column column, double figure) {
  if (std::isnan(figure)) return "-";
  switch (text_of(column).kind) {
    case Kind::cpus:
      return fmt::format("{:.2f}", figure);
    case Kind::percent:
      return fmt::format("{:.1f}", figure);
    case Kind::bytes:
    case Kind::rate:
      return short_bytes(figure);
    case Kind::time:
      return short_time(figure);
    case Kind::count:
      break;
  }
  return fmt::format("{:.0f}", figure);
}

Json json_of(Column column, double figure) {
  if (std::isnan(figure)) return nullptr;
  const Kind kind = text_of(column).kind;
  const bool whole = kind == Kind::bytes || kind == Kind::count || kind == Kind::time;
  return whole ? Json(static_cast<std::uint64_t>(figure)) : Json(figure);
}

std::string names_in_lines(const std::vector<Column>& columns) {
  constexpr std::size_t widest = 70;
  std::string text;
  std::size_t line = 0;
  for (const Column column : columns) {
    const std::string_view name = text_of(column).name;
    const bool full = text.size() - line + name.size() > widest;
    text += text.empty() ? "" : full ? ",\n  " : ", ";
    if (full) line = text.size();
    text += name;
  }
  return text;
}

Alarm alarm_of(Column column, const Values& values) noexcept {
  constexpr double full = 100;
  const double figure = value(values, column);
  switch (column) {
    case Column::limit:
      return alarm(figure, 80, 95);
    case Column::throttled:
      return alarm(figure, 1, 25);
    case Column::memory:
    case Column::working_set:
      return alarm(figure * full / value(values, Column::max), 85, 95);
    case Column::oom:
      return alarm(figure, 1, INFINITY);
    case Column::memory_some:
    case Column::io_some:
    case Column::memory_full:
    case Column::io_full:
    case Column::cpu_full:
      return alarm(figure, 5, 20);
    default:
      return Alarm::none;
  }
}

}  // namespace cgctl::tool::top_command
