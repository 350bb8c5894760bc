// SPDX-FileCopyrightText: The cgctl authors
// SPDX-License-Identifier: MIT
#pragma once

#include <array>
#include <cstddef>
#include <cstdint>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "cli/json.hpp"

/// The columns of `cgctl top`, `ls` and `stat`.
namespace cgctl::tool::top_command {

enum class Column : std::uint8_t {
  cpu,
  limit,
  throttled,
  memory,
  working_set,
  tasks,
  max,
  swap,
  read,
  write,
  memory_some,
  io_some,
  cpu_some,
  oom,
  zombies,
  anon,
  file,
  memory_full,
  io_full,
  cpu_full,
  processes,
  age,
};
inline constexpr std::size_t column_count = static_cast<std::size_t>(Column::age) + 1;

enum class Kind : std::uint8_t { cpus, percent, bytes, rate, count, time };

struct ColumnText {
  const char* name;     ///< for --columns and --sort
  const char* heading;  ///< of the table
  const char* key;      ///< in JSON
  Kind kind;
  std::uint8_t width;
  bool sampled;     ///< true if the sampler has it for all cgroups in each round
  bool difference;  ///< true if it takes two samples
};

const ColumnText& text_of(Column column) noexcept;

/// Returns the column with this name.
std::optional<Column> column_named(std::string_view name) noexcept;

struct Preset {
  const char* name;
  std::vector<Column> columns;
};

/// The sets of columns that the key v goes through; the first one has all columns except those of
/// `ls`, processes and age.
const std::vector<Preset>& presets();

/// Returns the names of these columns in lines that fit 80 columns, for help texts.
std::string names_in_lines(const std::vector<Column>& columns);

/// Parses a preset's name, or names of columns separated by commas. Returns the wrong name instead
/// in `wrong`.
std::vector<Column> columns_named(std::string_view text, std::string& wrong);

/// The figures of one cgroup, by column; NaN where there is none.
using Values = std::array<double, column_count>;

inline double& value(Values& values, Column column) noexcept {
  return values[static_cast<std::size_t>(column)];
}
inline double value(const Values& values, Column column) noexcept {
  return values[static_cast<std::size_t>(column)];
}

/// Returns a figure as the table shows it: "1.50", "12.3", "1.5G", "3.2h", "-" where there is none.
std::string cell_of(Column column, double figure);
/// Returns a figure as JSON has it: bytes, counts and times are whole numbers; null where there is
/// none.
Json json_of(Column column, double figure);

enum class Alarm : std::uint8_t { none, high, critical };

/// Returns how much a figure is worth a look: a limit nearly reached, tasks that wait.
Alarm alarm_of(Column column, const Values& values) noexcept;

}  // namespace cgctl::tool::top_command
