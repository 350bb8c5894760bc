// SPDX-FileCopyrightText: The cgctl authors
// SPDX-License-Identifier: MIT
#pragma once

#include <functional>
#include <optional>
#include <string>
#include <vector>

#include "cgctl/cpu.hpp"
#include "cgctl/cpuset.hpp"
#include "cgctl/io.hpp"
#include "cgctl/memory.hpp"
#include "cgctl/pids.hpp"
#include "cgctl/settings.hpp"
#include "cli/command.hpp"

/// Options for limits, for the commands that set them.
namespace cgctl::tool {

/// Adds --cpus, --quota, --period, --burst, --shares, --weight, --conversion, --nice, --idle,
/// --rt-runtime and --rt-period.
void add_cpu_options(CLI::App& command, cpu::Change& wanted);

/// Adds --max, --high, --low, --min, --soft-limit, --swap-max, --memsw-max, --swap-high,
/// --swappiness, --oom-group and --oom-kill.
void add_memory_options(CLI::App& command, memory::Change& wanted);

/// Adds an option for the most tasks.
CLI::Option* add_pids_max(CLI::App& command, const char* name, std::optional<pids::Max>& max);

/// Adds an option for a list of CPUs or memory nodes; "parent" is the empty list.
CLI::Option* add_ids(CLI::App& command, const char* name, const char* description,
                     std::optional<cpuset::Ids>& ids);

/// The limits of a device, which is not yet looked up.
struct DeviceLimits {
  std::string device;
  io::Limits limits;
};

/// Adds an option for the limits of a device, which may be repeated.
CLI::Option* add_io_max(CLI::App& command, const char* name, std::vector<DeviceLimits>& limits);

/// Looks up the devices.
Result<std::vector<io::Limits>> find_devices(const Host& host,
                                             const std::vector<DeviceLimits>& wanted);

using Written = Result<std::vector<settings::Written>>;

/// Calls `write` and returns its result. SIGINT, SIGTERM and SIGHUP do not interrupt it between two
/// values; they end the command afterwards, with a message that all values are written.
Written write_whole(const std::function<Written()>& write);

/// Prints the values written and the values read back: all of them as JSON, only those that differ
/// as text.
void print_written(const Globals& globals, const std::string& path,
                   const std::vector<settings::Written>& written);

/// Opens a cgroup and calls `show`, or `set` if there is one, whose result is printed.
Exit show_or_set(const Globals& globals, const std::string& path,
                 const std::function<Exit(const Group&)>& show,
                 const std::function<Written(const Group&)>& set);

/// Prints the state of a cgroup, as text or as JSON with this schema; without a state, the error.
template <class State, class ToJson, class ToText>
Exit show_state(const Globals& globals, const char* schema, const Result<State>& state,
                const ToJson& to_json, const ToText& to_text) {
  if (!state) return report(state.error());
  if (globals.format == Format::json) {
    print(globals, schema, to_json(*state));
  } else {
    print(globals, to_text(*state));
  }
  return Exit::done;
}

/// Returns the first line of a report on a controller's settings: "/batch, pids on v1".
std::string heading(const Group& opened, const char* controller, Version version);

/// Returns a note if setting a number of CPUs changed the period, which was not named; else empty.
std::string period_note(const cpu::Change& wanted, const std::vector<settings::Written>& written);

}  // namespace cgctl::tool
