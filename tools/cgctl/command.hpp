// SPDX-FileCopyrightText: The cgctl authors
// SPDX-License-Identifier: MIT
#pragma once

#include <CLI/CLI.hpp>
#include <cstdint>
#include <functional>
#include <nlohmann/json_fwd.hpp>
#include <string>
#include <string_view>

#include "cgctl/error.hpp"
#include "cgctl/host.hpp"

/// What every command shares. A command is one file: its options, add_NAME() that describes them, a function that finds out
/// and returns a report, one that writes the report as text and one that turns it into JSON.
namespace cgctl::tool {

/// Exit status; see EXIT STATUS in cgctl(8).
enum class Exit { done = 0, failed = 1, usage = 2, refused = 3, ineffective = 4, locked = 75 };

enum class Format { text, json };

/// The options before the command.
struct Globals {
  Roots roots;
  Format format = Format::text;
  bool quiet = false;

  /// Detects the host below the roots given.
  [[nodiscard]] Result<Host> host() const { return Host::detect(roots); }
};

/// Called by main() once the command line is parsed; set by the add_ function of the command that was named.
using Run = std::function<Exit()>;

void add_info(CLI::App& app, const Globals& globals, Run& run);
void add_ls(CLI::App& app, const Globals& globals, Run& run);
void add_numa_stat(CLI::App& app, const Globals& globals, Run& run);
void add_zombies(CLI::App& app, const Globals& globals, Run& run);
void add_drop_caches(CLI::App& app, const Globals& globals, Run& run);
void add_mitigate(CLI::App& app, const Globals& globals, Run& run);
void add_doctor(CLI::App& app, const Globals& globals, Run& run);

/// Writes to stdout; a text of several lines, or one line of JSON with its newline. Nothing with --quiet.
void print(const Globals& globals, std::string_view text);
void print(const Globals& globals, const nlohmann::json& object);

/// "cgctl: MESSAGE" on stderr; returns the status the kind of error stands for.
Exit report(const Error& error);
void warn(std::string_view message);

/// True when stdout is a terminal and NO_COLOR is not set.
bool use_color();

/// "1.5 GiB", "4.8 us": three significant digits at most, fixed units, no locale.
std::string human_bytes(std::uint64_t bytes);
std::string human_time(std::chrono::nanoseconds time);
/// "10ms", "2s", "500us": throws CLI::ValidationError with the forms allowed. For option callbacks.
std::chrono::nanoseconds parse_time(const std::string& text);

}  // namespace cgctl::tool
