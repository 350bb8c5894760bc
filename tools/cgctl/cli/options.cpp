// SPDX-FileCopyrightText: The cgctl authors
// SPDX-License-Identifier: MIT
#include <fmt/format.h>

#include <cmath>
#include <limits>
#include <optional>

#include "cgctl/filesystem.hpp"
#include "cgctl/parse.hpp"
#include "cli/command.hpp"

namespace cgctl::tool {
namespace {

constexpr const char* time_forms =
    "not a time: write a number and its unit, such as 500us, 10ms, 1.5s, 10min or 24h";

std::optional<double> nanoseconds_per(std::string_view unit) {
  if (unit == "ns") return 1;
  if (unit == "us") return 1e3;
  if (unit == "ms") return 1e6;
  if (unit == "s") return 1e9;
  if (unit == "min" || unit == "m") return 60e9;
  if (unit == "h") return 3600e9;
  if (unit == "d") return 86400e9;
  return std::nullopt;
}

/// Parses digits, with or without a fraction, and removes them from `text`.
std::optional<double> decimal(std::string_view& text) {
  std::uint64_t whole = 0;
  if (!parse::number(text, whole)) return std::nullopt;
  auto value = static_cast<double>(whole);
  if (text.empty() || text.front() != '.') return value;
  text.remove_prefix(1);
  const std::size_t before = text.size();
  std::uint64_t fraction = 0;
  if (!parse::number(text, fraction)) return std::nullopt;
  const auto places = static_cast<double>(before - text.size());
  return value + static_cast<double>(fraction) / std::pow(10, places);
}

/// Adds an option whose text `take` accepts, returning an empty string, or refuses with a reason.
template <class Take>
CLI::Option* add_checked(CLI::App& command, const std::string& name, const std::string& type,
                         const std::string& description, Take take) {
  const auto check = [name, take](const std::string& text) {
    const std::string reason = take(text);
    if (reason.empty()) return;
    const std::string where = name.front() == '-' ? name + " " : std::string();
    throw CLI::ValidationError(where + "'" + text + "': " + reason);
  };
  return command.add_option_function<std::string>(name, check, description)->type_name(type);
}

/// Adds an option for a time; `value` is a time or an optional time.
template <class Value>
CLI::Option* add_time_option(CLI::App& command, const std::string& name, Value& value,
                             const std::string& description) {
  const auto take = [&value, name](const std::string& text) { value = parse_time(text, name); };
  return command.add_option_function<std::string>(name, take, description)->type_name("TIME");
}

/// Sets `path` from `text`; returns the reason if `text` is not the path of a cgroup, else empty.
std::string take_path(const std::string& text, std::string& path) {
  if (text.empty()) return "the path is empty; the root is /";
  const auto clean = fs::clean_relative_path(text);
  if (!clean) return fmt::format("not a path of a cgroup: {}", clean.error().reason);
  path = *clean == "." ? "/" : "/" + *clean;
  return {};
}

}  // namespace

std::chrono::nanoseconds parse_time(const std::string& text, const std::string& option) {
  const std::string where = (option.empty() ? "'" : option + " '") + text + "': ";
  std::string_view rest = text;
  const auto number = decimal(rest);
  const auto unit = nanoseconds_per(rest);
  if (!number || !unit) throw CLI::ValidationError(where + time_forms);
  const double nanoseconds = std::round(*number * *unit);
  constexpr double longest = 100.0 * 365 * 86400 * 1e9;
  if (nanoseconds > longest) throw CLI::ValidationError(where + "longer than 100 years");
  return std::chrono::nanoseconds(static_cast<std::int64_t>(nanoseconds));
}

CLI::Option* add_time(CLI::App& command, const std::string& name, std::chrono::nanoseconds& value,
                      const std::string& description) {
  return add_time_option(command, name, value, description);
}

CLI::Option* add_time(CLI::App& command, const std::string& name,
                      std::optional<std::chrono::nanoseconds>& value,
                      const std::string& description) {
  return add_time_option(command, name, value, description);
}

CLI::Option* add_number(CLI::App& command, const std::string& name,
                        std::optional<std::uint64_t>& value, const std::string& description) {
  return add_checked(command, name, "N", description,
                     [&value](const std::string& text) -> std::string {
                       value = parse::whole_number(text);
                       return value ? "" : "not a whole number";
                     });
}

CLI::Option* add_number(CLI::App& command, const std::string& name, std::uint64_t& value,
                        const std::string& description) {
  return add_checked(command, name, "N", description,
                     [&value](const std::string& text) -> std::string {
                       const auto number = parse::whole_number(text);
                       value = number.value_or(value);
                       return number ? "" : "not a whole number";
                     });
}

CLI::Option* add_path(CLI::App& command, std::string& path, const std::string& description) {
  return add_checked(command, "PATH", "", description,
                     [&path](const std::string& text) { return take_path(text, path); });
}

CLI::Option* add_path_option(CLI::App& command, const std::string& name, std::string& path,
                             const std::string& description) {
  return add_checked(command, name, "PATH", description,
                     [&path](const std::string& text) { return take_path(text, path); });
}

CLI::Option* add_controllers(CLI::App& command, std::vector<std::string>& controllers) {
  return add_checked(command, "-c,--controllers", "LIST",
                     "comma-separated (default: those of cpu, cpuacct and\nmemory that the host "
                     "has)",
                     [&controllers](const std::string& text) -> std::string {
                       controllers = CLI::detail::split(text, ',');
                       for (const std::string& controller : controllers) {
                         if (controller.empty()) return "a name is empty";
                       }
                       return {};
                     });
}

CLI::Option* add_paths(CLI::App& command, std::vector<std::string>& paths,
                       const std::string& description) {
  const auto take = [&paths](const std::vector<std::string>& texts) {
    for (const std::string& text : texts) {
      const std::string reason = take_path(text, paths.emplace_back());
      if (!reason.empty()) throw CLI::ValidationError(fmt::format("'{}': {}", text, reason));
    }
  };
  return command.add_option_function<std::vector<std::string>>("PATH", take, description)
      ->required()
      ->type_name("");
}

pid_t parse_task(const std::string& text) {
  const auto number = parse::whole_number(text);
  if (!number || *number == 0 || *number > std::numeric_limits<pid_t>::max()) {
    throw CLI::ValidationError(fmt::format("'{}': not a process ID", text));
  }
  return static_cast<pid_t>(*number);
}

CLI::Option* add_tasks(CLI::App& command, std::vector<pid_t>& tasks,
                       const std::string& description) {
  const auto take = [&tasks](const std::vector<std::string>& texts) {
    for (const std::string& text : texts) tasks.push_back(parse_task(text));
  };
  return command.add_option_function<std::vector<std::string>>("PID", take, description)
      ->type_name("");
}

CLI::Option* add_level(CLI::App& command, const std::string& name, unsigned& level,
                       const std::string& description) {
  const std::string type = name.front() == '-' ? "1|2|3" : "";
  return add_checked(command, name, type, description,
                     [&level](const std::string& text) -> std::string {
                       if (text == "4") {
                         return "refused: it frees nothing and silences the kernel's log line "
                                "about dropped caches until the next "
                                "boot; the levels are 1, 2 and 3";
                       }
                       if (text != "1" && text != "2" && text != "3") {
                         return "not a level: 1 frees page cache, 2 dentries and inodes, 3 both";
                       }
                       level = static_cast<unsigned>(text.front() - '0');
                       return {};
                     });
}

mitigation::Rung rung_of(unsigned level) {
  if (level == 1) return mitigation::Rung::drop_page_cache;
  return level == 2 ? mitigation::Rung::drop_slab : mitigation::Rung::drop_all;
}

}  // namespace cgctl::tool
