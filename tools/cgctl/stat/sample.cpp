// SPDX-FileCopyrightText: The cgctl authors
// SPDX-License-Identifier: MIT
#include "stat/sample.hpp"

#include <fmt/format.h>

#include <algorithm>
#include <cmath>

#include "cgctl/memory_stat.hpp"
#include "cli/figures.hpp"
#include "cli/names.hpp"

namespace cgctl::tool::stat_command {
namespace {

cpu::Rates rates_between(const Sample& before, const Sample& after) {
  if (!before.cpu || !after.cpu) return {};
  return cpu::rates(*before.cpu, *after.cpu, after.at - before.at, after.limit);
}

std::optional<std::uint64_t> kills_between(const Sample& before, const Sample& after) {
  if (!before.events || !after.events || !before.events->oom_kill || !after.events->oom_kill) {
    return std::nullopt;
  }
  return *after.events->oom_kill - std::min(*before.events->oom_kill, *after.events->oom_kill);
}

std::string percent(const std::optional<double>& value) {
  return value ? fmt::format("{:.1f}%", *value) : "-";
}

std::string stalled(const std::optional<pressure::Pressure>& pressure) {
  return pressure ? fmt::format("{:.1f}%", pressure->some.avg10) : "-";
}

}  // namespace

Sample sample(const Group& group) {
  Sample sample;
  const auto value_of =
      [&sample](auto result) -> std::optional<typename decltype(result)::value_type> {
    if (result) return std::move(*result);
    if (result.error().kind != errc::unsupported && !sample.unread) sample.unread = result.error();
    return std::nullopt;
  };
  sample.at = Clock::now();
  sample.cpu = value_of(cpu::stat(group));
  if (const auto state = value_of(cpu::Controller{group}.state())) sample.limit = state->bandwidth;
  sample.memory = value_of(memory::Controller{group}.state());
  const auto stat = value_of(memory::stat(group));
  if (stat && sample.memory && sample.memory->usage) {
    sample.working_set = memory::working_set(*sample.memory->usage, *stat);
  }
  sample.events = value_of(memory::events(group));
  sample.cpu_pressure = value_of(pressure::read(group, pressure::Resource::cpu));
  sample.memory_pressure = value_of(pressure::read(group, pressure::Resource::memory));
  sample.io_pressure = value_of(pressure::read(group, pressure::Resource::io));
  return sample;
}

top_command::Values values_between(const Sample& before, const Sample& now) {
  using top_command::Column;
  top_command::Values values;
  values.fill(NAN);
  const auto set = [&values](Column column, const auto& figure) {
    if (figure) value(values, column) = static_cast<double>(*figure);
  };
  const auto set_pressure = [&](Column column, const std::optional<pressure::Pressure>& pressure) {
    if (pressure) value(values, column) = pressure->some.avg10;
  };
  const cpu::Rates rates = rates_between(before, now);
  set(Column::cpu, rates.cpus);
  set(Column::limit, rates.percent_of_limit);
  set(Column::throttled, rates.percent_throttled);
  if (now.memory) set(Column::memory, now.memory->usage);
  if (now.memory && now.memory->max) set(Column::max, now.memory->max->bytes);
  set(Column::working_set, now.working_set);
  set_pressure(Column::cpu_some, now.cpu_pressure);
  set_pressure(Column::memory_some, now.memory_pressure);
  set_pressure(Column::io_some, now.io_pressure);
  return values;
}

Json json_of(const std::string& path, const names::Names& names, const Sample& before,
             const Sample& now) {
  const cpu::Rates rates = rates_between(before, now);
  Json json{{"path", path},
            {"seconds", std::chrono::duration<double>(now.at - before.at).count()},
            {"cpus", or_null(rates.cpus)},
            {"limit_cpus", or_null(now.limit ? now.limit->cpus() : std::nullopt)},
            {"percent_of_limit", or_null(rates.percent_of_limit)},
            {"percent_throttled", or_null(rates.percent_throttled)}};
  const auto& memory = now.memory;
  json["memory_bytes"] = memory ? or_null(memory->usage) : Json(nullptr);
  json["memory_max_bytes"] = memory && memory->max ? or_null(memory->max->bytes) : Json(nullptr);
  json["working_set_bytes"] = or_null(now.working_set);
  json["oom_kills"] = or_null(kills_between(before, now));
  json["pressure"] = {{"cpu", pressure_json(now.cpu_pressure)},
                      {"memory", pressure_json(now.memory_pressure)},
                      {"io", pressure_json(now.io_pressure)}};
  put_names(json, names);
  return json;
}

Table empty_table(bool named) {
  constexpr auto right = Table::Align::right;
  std::vector<Table::Column> columns{
      {"CPUS", right},    {"OF LIMIT", right}, {"THROTTLED", right},
      {"MEMORY", right},  {"OF MAX", right},   {"WORKING SET", right},
      {"CPU PSI", right}, {"MEM PSI", right},  {"IO PSI", right}};
  if (named) columns.push_back({"NAME"});
  columns.push_back({"CGROUP"});
  return Table(std::move(columns));
}

std::vector<std::string> cells_of(const std::string& path, const std::string& name,
                                  const Sample& before, const Sample& now, bool named) {
  const cpu::Rates rates = rates_between(before, now);
  const auto& memory = now.memory;
  std::string of_max = "-";
  if (memory && memory->usage && memory->max && memory->max->bytes.value_or(0) > 0) {
    of_max = percent(100.0 * static_cast<double>(*memory->usage) /
                     static_cast<double>(*memory->max->bytes));
  }
  std::vector<std::string> cells{rates.cpus ? fmt::format("{:.2f}", *rates.cpus) : "-",
                                 percent(rates.percent_of_limit),
                                 percent(rates.percent_throttled),
                                 memory && memory->usage ? human_bytes(*memory->usage) : "-",
                                 of_max,
                                 now.working_set ? human_bytes(*now.working_set) : "-",
                                 stalled(now.cpu_pressure),
                                 stalled(now.memory_pressure),
                                 stalled(now.io_pressure),
                                 printable(path)};
  if (named) cells.insert(cells.end() - 1, printable(name));
  return cells;
}

}  // namespace cgctl::tool::stat_command
