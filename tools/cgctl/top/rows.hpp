// SPDX-FileCopyrightText: The cgctl authors
// SPDX-License-Identifier: MIT
#pragma once

#include <array>
#include <chrono>
#include <cmath>
#include <cstddef>
#include <cstdint>
#include <memory>
#include <string>
#include <string_view>
#include <vector>

#include "top/columns.hpp"

namespace cgctl::tool::top_command {

using Clock = std::chrono::steady_clock;

/// The last points of a figure for a sparkline, each in 16 bits (the upper half of a float, with
/// an error below 1 %), because every cgroup has two of them.
class History {
 public:
  static constexpr std::size_t size = 40;

  void add(double figure) noexcept;
  /// Returns the number of points.
  [[nodiscard]] std::size_t count() const noexcept { return count_; }
  /// Returns point `index`, oldest first; NaN where there was no figure.
  [[nodiscard]] float at(std::size_t index) const noexcept;

 private:
  std::array<std::uint16_t, size> points_{};
  std::uint8_t next_ = 0;
  std::uint8_t count_ = 0;
};

/// The last minutes of a cgroup.
struct Past {
  History cpu;
  History memory;
};

/// One cgroup of the table.
struct Row {
  std::string path;
  Row* parent = nullptr;              ///< nearest cgroup above that has a row
  bool marked = false;                ///< by the filter of lines_of()
  bool named = false;                 ///< true once the name was looked up
  std::unique_ptr<std::string> name;  ///< of its pod, container or unit; null: none
  Values values{};
  std::unique_ptr<Past> past;  ///< null: none is kept

  // Counters of the last sample, for rates; NaN at first.
  double periods = NAN;
  double throttled_periods = NAN;
  double bytes_read = NAN;
  double bytes_written = NAN;
  double limit_cpus = NAN;
  Clock::time_point io_at;      ///< when these bytes were read
  Clock::time_point io_before;  ///< when they were read the time before
  bool has_tasks = true;        ///< false if it has no file pids.current
  bool has_io = true;           ///< false if it has no file with bytes read and written
  bool io_idle = false;         ///< true if neither the cgroup nor one below moved bytes since then
  Clock::time_point limits_at;  ///< when the limits were read; the epoch: never

  Row() { values.fill(NAN); }
};

/// Sorted by path.
using Rows = std::vector<std::unique_ptr<Row>>;

/// Sets Row::parent of all rows.
void link_parents(const Rows& rows);

/// Returns the row of this path, or null.
Row* find_row(const Rows& rows, std::string_view path) noexcept;

}  // namespace cgctl::tool::top_command
