// SPDX-FileCopyrightText: The cgctl authors
// SPDX-License-Identifier: MIT
#pragma once

#include <functional>
#include <string>
#include <vector>

#include "cgctl/cpu.hpp"
#include "cgctl/memory.hpp"
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

using Written = Result<std::vector<settings::Written>>;

/// Calls `write` and returns its result. SIGINT, SIGTERM and SIGHUP do not interrupt it between two
/// values; they end the command afterwards, with a message that all values are written.
Written write_whole(const std::function<Written()>& write);

/// Prints the values written and the values read back: all of them as JSON, only those that differ
/// as text.
void print_written(const Globals& globals, const std::string& path,
                   const std::vector<settings::Written>& written);

/// Returns a note if setting a number of CPUs changed the period, which was not named; else empty.
std::string period_note(const cpu::Change& wanted, const std::vector<settings::Written>& written);

}  // namespace cgctl::tool
