// SPDX-FileCopyrightText: The cgctl authors
// SPDX-License-Identifier: MIT
#include <fmt/format.h>

#include <cstdlib>

#include "cli/limits.hpp"
#include "cli/setting_options.hpp"

namespace cgctl::tool {
namespace {

using cpu::microseconds;

/// Parses a time that must be whole microseconds, the kernel's unit.
microseconds parse_microseconds(const std::string& text) {
  const auto time = parse_time(text);
  const auto whole = std::chrono::duration_cast<microseconds>(time);
  if (whole != time) {
    throw CLI::ValidationError(fmt::format("'{}': the kernel counts in microseconds", text));
  }
  return whole;
}

/// Parses "0.5", or "500m" in thousandths.
double parse_cpus(const std::string& text) {
  constexpr double thousand = 1000;
  const bool in_thousandths = text.size() > 1 && text.back() == 'm';
  const std::string number = text.substr(0, text.size() - (in_thousandths ? 1 : 0));
  char* end = nullptr;
  const double count = std::strtod(number.c_str(), &end);
  const bool plain = number.find_first_not_of("0123456789.") == std::string::npos;
  if (number.empty() || !plain || *end != '\0' || !(count > 0)) {
    throw CLI::ValidationError(fmt::format(
        "'{}': not a number of CPUs: write one such as 0.5, 500m (thousandths) or 2, or max",
        text));
  }
  return in_thousandths ? count / thousand : count;
}

int parse_nice(const std::string& text) {
  const bool negative = !text.empty() && text.front() == '-';
  const std::uint64_t value = parse_count(text.substr(negative ? 1 : 0));
  if (value > 1000) throw CLI::ValidationError(fmt::format("'{}': not within -20 and 19", text));
  return negative ? -static_cast<int>(value) : static_cast<int>(value);
}

/// Adds an option of the group "CPU".
template <class Take>
void add(CLI::App& command, const char* name, const char* type, const char* description,
         Take take) {
  add_setting(command, "CPU", name, type, description, take);
}

}  // namespace

void add_cpu_options(CLI::App& command, cpu::Change& wanted) {
  add(command, "--cpus", "N|max", "limit in CPUs, such as 0.5 or 500m; max: no limit",
      [&wanted](const std::string& text) {
        wanted.cpus.reset();
        if (means_none(text)) {
          wanted.quota = cpu::Quota{};
        } else {
          wanted.cpus = parse_cpus(text);
        }
      });
  add(command, "--quota", "TIME|max", "CPU time per period, 1ms or more; max: no limit",
      [&wanted](const std::string& text) {
        wanted.quota = cpu::Quota{};
        if (!means_none(text)) wanted.quota->limit = parse_microseconds(text);
      });
  add(command, "--period", "TIME", "length of a period, 1ms to 1s (new cgroups: 100ms)",
      [&wanted](const std::string& text) { wanted.period = parse_microseconds(text); });
  add(command, "--burst", "TIME", "unused time saved for later, at most the quota",
      [&wanted](const std::string& text) { wanted.burst = parse_microseconds(text); });
  add(command, "--shares", "N", "share as v1 counts: 2 to 262144, 1024 when new",
      [&wanted](const std::string& text) { wanted.shares = cpu::Shares{parse_count(text)}; });
  add(command, "--weight", "N", "share as v2 counts: 1 to 10000, 100 when new",
      [&wanted](const std::string& text) { wanted.weight = cpu::Weight{parse_count(text)}; });
  add(command, "--conversion", "NAME", conversion_help,
      [&wanted](const std::string& text) { wanted.conversion = parse_conversion(text); });
  add(command, "--nice", "N", "share as a nice value, -20 to 19 (v2)",
      [&wanted](const std::string& text) { wanted.nice = parse_nice(text); });
  add(command, "--idle", "on|off", "run only when the CPU is otherwise idle",
      [&wanted](const std::string& text) { wanted.idle = parse_switch(text); });
  add(command, "--rt-runtime", "TIME", "time of real-time tasks in each rt-period (v1)",
      [&wanted](const std::string& text) { wanted.rt_runtime = parse_microseconds(text); });
  add(command, "--rt-period", "TIME", "length of an rt-period (v1; new cgroups: 1s)",
      [&wanted](const std::string& text) { wanted.rt_period = parse_microseconds(text); });
}

}  // namespace cgctl::tool
