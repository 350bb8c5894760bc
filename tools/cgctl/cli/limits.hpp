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

/// The limits that a command line can name, for the commands that set them.
namespace cgctl::tool {

/// --cpus, --quota, --period, --burst, --shares, --weight, --conversion, --nice, --idle,
/// --rt-runtime, --rt-period.
void add_cpu_options(CLI::App& command, cpu::Change& wanted);

/// --max, --high, --low, --min, --soft-limit, --swap-max, --memsw-max, --swap-high, --swappiness,
/// --oom-group, --oom-kill.
void add_memory_options(CLI::App& command, memory::Change& wanted);

using Written = Result<std::vector<settings::Written>>;

/// Calls `write` and returns its result. SIGINT, SIGTERM and SIGHUP do not cut it short between two
/// values; they end the command afterwards, which says what is written.
Written write_whole(const std::function<Written()>& write);

/// Prints what was written and how it reads now: in JSON all of it, as text what the kernel keeps
/// otherwise than asked.
void print_written(const Globals& globals, const std::string& path,
                   const std::vector<settings::Written>& written);

/// Says that a number of CPUs has changed the period, which was not named; empty if it has not.
std::string period_note(const cpu::Change& wanted, const std::vector<settings::Written>& written);

}  // namespace cgctl::tool
