// SPDX-FileCopyrightText: The cgctl authors
// SPDX-License-Identifier: MIT
#pragma once

#include <sys/types.h>

#include <CLI/CLI.hpp>
#include <chrono>
#include <cstdint>
#include <cstdio>
#include <functional>
#include <nlohmann/json_fwd.hpp>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "cgctl/error.hpp"
#include "cgctl/host.hpp"
#include "cgctl/mitigation.hpp"
#include "cgctl/zombies.hpp"
#include "cli/escape.hpp"
#include "cli/units.hpp"

/// Declarations that all commands share. A command is one file with its options, add() that
/// describes them, a function that collects a report, one that formats it as text and one that
/// turns it into JSON.
namespace cgctl::tool {

/// Exit status; see EXIT STATUS in cgctl(8).
enum class Exit { done = 0, failed = 1, usage = 2, refused = 3, ineffective = 4, locked = 75 };

enum class Format { text, json };

/// Options of all commands.
struct Globals {
  Roots roots;
  std::string host_root;  ///< directory with the root of the machine whose files have names
  Format format = Format::text;
  bool quiet = false;
  std::vector<std::string> command;  ///< the words after the -- of `run`

  /// Detects the host below the roots given.
  [[nodiscard]] Result<Host> host() const { return Host::detect(roots); }
};

/// The action of the named command: its callback sets it, main() calls it once the line is parsed.
using Run = std::function<Exit()>;

/// Each add() describes its command. The list of commands shows the first line of the description,
/// the command's own help shows all of it.
namespace info_command {
void add(CLI::App& app, const Globals& globals, Run& run);
}
namespace ls_command {
void add(CLI::App& app, const Globals& globals, Run& run);
}
namespace create_command {
void add(CLI::App& app, const Globals& globals, Run& run);
}
namespace delete_command {
void add(CLI::App& app, const Globals& globals, Run& run);
}
namespace prune_command {
void add(CLI::App& app, const Globals& globals, Run& run);
}
namespace move_command {
void add(CLI::App& app, const Globals& globals, Run& run);
}
namespace get_command {
void add(CLI::App& app, const Globals& globals, Run& run);
}
namespace set_command {
void add(CLI::App& app, const Globals& globals, Run& run);
}
namespace cpu_command {
void add(CLI::App& app, const Globals& globals, Run& run);
}
namespace memory_command {
void add(CLI::App& app, const Globals& globals, Run& run);
}
namespace pids_command {
void add(CLI::App& app, const Globals& globals, Run& run);
}
namespace io_command {
void add(CLI::App& app, const Globals& globals, Run& run);
}
namespace cpuset_command {
void add(CLI::App& app, const Globals& globals, Run& run);
}
namespace run_command {
void add(CLI::App& app, const Globals& globals, Run& run);
}
namespace freeze_command {
void add(CLI::App& app, const Globals& globals, Run& run);
}
namespace thaw_command {
void add(CLI::App& app, const Globals& globals, Run& run);
}
namespace classify_command {
void add(CLI::App& app, const Globals& globals, Run& run);
}
namespace snapshot_command {
void add(CLI::App& app, const Globals& globals, Run& run);
}
namespace apply_command {
void add(CLI::App& app, const Globals& globals, Run& run);
}
namespace top_command {
void add(CLI::App& app, const Globals& globals, Run& run);
}
namespace stat_command {
void add(CLI::App& app, const Globals& globals, Run& run);
}
namespace numa_stat_command {
void add(CLI::App& app, const Globals& globals, Run& run);
}
namespace zombies_command {
void add(CLI::App& app, const Globals& globals, Run& run);
}
namespace census_command {
void add(CLI::App& app, const Globals& globals, Run& run);
}
namespace record_command {
void add(CLI::App& app, const Globals& globals, Run& run);
}
namespace pressure_command {
void add(CLI::App& app, const Globals& globals, Run& run);
}
namespace drop_caches_command {
void add(CLI::App& app, const Globals& globals, Run& run);
}
namespace metrics_command {
void add(CLI::App& app, const Globals& globals, Run& run);
}
namespace mitigate_command {
void add(CLI::App& app, const Globals& globals, Run& run);
}
namespace history_command {
void add(CLI::App& app, const Globals& globals, Run& run);
}
namespace check_command {
/// The exit status for wrong usage: UNKNOWN of monitoring plugins, to which 2 is CRITICAL.
inline constexpr Exit wrong_usage = Exit::refused;
void add(CLI::App& app, const Globals& globals, Run& run);
}  // namespace check_command
namespace doctor_command {
void add(CLI::App& app, const Globals& globals, Run& run);
}

// ---- options (options.cpp) ----

/// Parses "10ms", "2s", "500us". Throws CLI::ValidationError that names the option, if there is
/// one, and the allowed forms.
std::chrono::nanoseconds parse_time(const std::string& text, const std::string& option = {});

/// These functions add options that have the same form in every command. An error names the option
/// and the wrong value.
CLI::Option* add_time(CLI::App& command, const std::string& name, std::chrono::nanoseconds& value,
                      const std::string& description);
CLI::Option* add_time(CLI::App& command, const std::string& name,
                      std::optional<std::chrono::nanoseconds>& value,
                      const std::string& description);
CLI::Option* add_number(CLI::App& command, const std::string& name, std::uint64_t& value,
                        const std::string& description);
CLI::Option* add_number(CLI::App& command, const std::string& name,
                        std::optional<std::uint64_t>& value, const std::string& description);
/// Adds the positional PATH of a cgroup.
CLI::Option* add_path(CLI::App& command, std::string& path, const std::string& description);
/// Adds an option that takes the path of a cgroup, such as --below PATH.
CLI::Option* add_path_option(CLI::App& command, const std::string& name, std::string& path,
                             const std::string& description);
/// Adds -c,--controllers: the controllers that a new cgroup gets.
CLI::Option* add_controllers(CLI::App& command, std::vector<std::string>& controllers);
/// Adds one or more required PATHs of cgroups.
CLI::Option* add_paths(CLI::App& command, std::vector<std::string>& paths,
                       const std::string& description);
/// Parses the ID of a process or thread. Throws CLI::ValidationError.
pid_t parse_task(const std::string& text);
/// Adds one or more PIDs of processes or threads.
CLI::Option* add_tasks(CLI::App& command, std::vector<pid_t>& tasks,
                       const std::string& description);
/// Adds a level of drop_caches, 1 to 3, as an option or a positional.
CLI::Option* add_level(CLI::App& command, const std::string& name, unsigned& level,
                       const std::string& description);
/// Returns the rung for a level that add_level() accepted.
mitigation::Rung rung_of(unsigned level);

// ---- output (output.cpp) ----

/// Writes lines of text to stdout. Does nothing with --quiet.
void print(const Globals& globals, std::string_view text);

/// Returns a part of a line of JSON. Bytes that are not UTF-8, which a cgroup's name may have, are
/// replaced; "KEY_base64" then holds the exact bytes.
std::string json_text(nlohmann::ordered_json value);
/// Returns an object as a line of JSON, with its newline. Its first keys are `schema` ("cgctl." and
/// `schema`, such as "zombies/1": the name of a file in docs/schema and its version), `time` (UTC,
/// RFC 3339) and `host` (the node name of uname(2)).
std::string json_line(
    std::string_view schema, nlohmann::ordered_json object,
    std::chrono::system_clock::time_point time = std::chrono::system_clock::now());
/// Prints json_line(). Does nothing with --quiet.
void print(const Globals& globals, std::string_view schema, nlohmann::ordered_json object);
/// Returns the node name of uname(2).
const std::string& host_name();

/// Flushes standard output. Returns false if output was lost, which close_output() reports.
bool flush_output();

/// Writes to a stream; escapes control characters on a terminal.
void write(std::FILE* stream, std::string_view text);

/// Occupies the descriptor of each standard stream that is closed, so that printed text cannot end
/// up in a file that is opened later. A command that is run finds the stream closed.
void reserve_standard_streams();

/// Closes stdout. Returns false if output was lost, with a message unless a closed pipe is the
/// reason.
bool close_output();

/// Prints "cgctl: MESSAGE" on stderr; returns the exit status for this kind of error.
Exit report(const Error& error);
/// Returns Error::message() with the command's options and commands in place of the library's
/// members and functions.
std::string message_of(const Error& error);
void warn(std::string_view message);
/// Prints each error as a warning, equal messages once.
void warn_of(const std::vector<Error>& errors);

/// True if stdout is a terminal, TERM is not "dumb" and NO_COLOR is not set.
bool use_color();

enum class Color { bold, red, green, yellow };
/// Returns `text` in that colour if use_color(), else unchanged.
std::string paint(Color color, std::string_view text);

/// Returns a name from the file system for display: escaped() on a terminal, else unchanged.
std::string printable(std::string_view name);

/// Returns "1 zombie", "12 zombies", or "3 to 5 zombies" for a range.
std::string in_words(const zombies::Count& count);

/// Returns the source of figures about zombies: "a census", "page flags", "memory.stat".
const char* describe(zombies::Source source) noexcept;

/// The directory of the history, the ledger of removals and the offsets, unless another is named.
inline constexpr const char* default_state_dir = "/var/lib/cgctl";

/// Returns "1 file" or "3 files".
std::string counted(std::uint64_t number, const char* one);

/// Returns a line of text with its label in the first column: "source          a census".
std::string labelled(std::string_view label, std::string_view text);

/// Table whose columns are as wide as their widest cell and two spaces apart. The last column
/// should hold free text.
class Table {
 public:
  enum class Align { left, right };
  struct Column {
    std::string heading;
    Align align = Align::left;
  };

  explicit Table(std::vector<Column> columns) : columns_(std::move(columns)) {}
  void add(std::vector<std::string> cells) { rows_.push_back(std::move(cells)); }
  /// Returns the lines, each with a newline: the headings (bold on a terminal), then the rows.
  [[nodiscard]] std::string text() const;

 private:
  std::vector<Column> columns_;
  std::vector<std::vector<std::string>> rows_;
};

}  // namespace cgctl::tool
