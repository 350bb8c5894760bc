// SPDX-FileCopyrightText: The cgctl authors
// SPDX-License-Identifier: MIT
#pragma once

#include <chrono>
#include <cstdint>
#include <optional>
#include <string>
#include <vector>

#include "cgctl/cpu.hpp"
#include "cgctl/group.hpp"
#include "cgctl/memory.hpp"
#include "cgctl/memory_events.hpp"
#include "cgctl/names.hpp"
#include "cgctl/pressure.hpp"
#include "cli/command.hpp"
#include "cli/json.hpp"
#include "top/columns.hpp"

namespace cgctl::tool::stat_command {

using Clock = std::chrono::steady_clock;

/// Figures of one cgroup at one time; a figure that the cgroup does not have is absent.
struct Sample {
  Clock::time_point at;
  std::optional<cpu::Stat> cpu;
  std::optional<cpu::Bandwidth> limit;
  std::optional<memory::State> memory;
  std::optional<std::uint64_t> working_set;
  std::optional<memory::Events> events;
  std::optional<pressure::Pressure> cpu_pressure;
  std::optional<pressure::Pressure> memory_pressure;
  std::optional<pressure::Pressure> io_pressure;
  std::optional<Error> unread;  ///< error of the first file that exists but cannot be read
};

/// Reads all figures of a cgroup.
Sample sample(const Group& group);

/// Returns the figures between two samples, for the columns of top that `stat` has.
top_command::Values values_between(const Sample& before, const Sample& now);

Json json_of(const std::string& path, const names::Names& names, const Sample& before,
             const Sample& now);

/// Returns the table without rows; `named`: with the column of names.
Table empty_table(bool named);
/// Returns a row of that table.
std::vector<std::string> cells_of(const std::string& path, const std::string& name,
                                  const Sample& before, const Sample& now, bool named);

}  // namespace cgctl::tool::stat_command
