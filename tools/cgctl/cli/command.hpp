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

/// What every command shares. A command is one file: its options, add_NAME() that describes them, a
/// function that finds out and returns a report, one that writes the report as text and one that
/// turns it into JSON.
namespace cgctl::tool {

/// Exit status; see EXIT STATUS in cgctl(8).
enum class Exit { done = 0, failed = 1, usage = 2, refused = 3, ineffective = 4, locked = 75 };

enum class Format { text, json };

/// The options before the command.
struct Globals {
  Roots roots;
  Format format = Format::text;
  bool quiet = false;
  std::vector<std::string> command;  ///< what stands behind the -- of `run`

  /// Detects the host below the roots given.
  [[nodiscard]] Result<Host> host() const { return Host::detect(roots); }
};

/// Called by main() once the command line is parsed; set by the add_ function of the command that
/// was named.
using Run = std::function<Exit()>;

/// The first line of a command's description stands in the list of commands, all of it in the
/// command's own help.
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
namespace run_command {
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
namespace stat_command {
void add(CLI::App& app, const Globals& globals, Run& run);
}
namespace numa_stat_command {
void add(CLI::App& app, const Globals& globals, Run& run);
}
namespace zombies_command {
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
namespace doctor_command {
void add(CLI::App& app, const Globals& globals, Run& run);
}

// ---- options (options.cpp) ----

/// "10ms", "2s", "500us": throws CLI::ValidationError with the forms allowed. For option callbacks.
std::chrono::nanoseconds parse_time(const std::string& text);

/// Options with one form everywhere; what is wrong with a value is said with the option's name and
/// the value.
CLI::Option* add_time(CLI::App& command, const std::string& name, std::chrono::nanoseconds& value,
                      const std::string& description);
CLI::Option* add_time(CLI::App& command, const std::string& name,
                      std::optional<std::chrono::nanoseconds>& value,
                      const std::string& description);
CLI::Option* add_number(CLI::App& command, const std::string& name, std::uint64_t& value,
                        const std::string& description);
CLI::Option* add_number(CLI::App& command, const std::string& name,
                        std::optional<std::uint64_t>& value, const std::string& description);
/// The positional PATH of a cgroup.
CLI::Option* add_path(CLI::App& command, std::string& path, const std::string& description);
/// The same as an option, such as --below PATH.
CLI::Option* add_path_option(CLI::App& command, const std::string& name, std::string& path,
                             const std::string& description);
/// -c,--controllers: those a cgroup is made with.
CLI::Option* add_controllers(CLI::App& command, std::vector<std::string>& controllers);
/// One or more of them, required.
CLI::Option* add_paths(CLI::App& command, std::vector<std::string>& paths,
                       const std::string& description);
/// Of a process or thread: throws CLI::ValidationError.
pid_t parse_task(const std::string& text);
/// One or more PID of processes or threads.
CLI::Option* add_tasks(CLI::App& command, std::vector<pid_t>& tasks,
                       const std::string& description);
/// A level of drop_caches, 1 to 3, as an option or a positional.
CLI::Option* add_level(CLI::App& command, const std::string& name, unsigned& level,
                       const std::string& description);
/// What mitigation calls a level that add_level() took.
mitigation::Rung rung_of(unsigned level);

// ---- output (output.cpp) ----

/// Writes to stdout; a text of several lines, or one line of JSON with its newline. Nothing with
/// --quiet.
void print(const Globals& globals, std::string_view text);
/// A text on one line, with its newline, of nlohmann::json and ordered_json. Bytes that are not
/// UTF-8, which a cgroup's name may have, are replaced; "KEY_base64" has the exact ones.
template <class Json>
std::string json_line(Json object) {
  constexpr int one_line = -1;
  keep_bytes(object);
  return object.dump(one_line, ' ', false, Json::error_handler_t::replace).append("\n");
}
template <class Json, class = decltype(Json::array())>
void print(const Globals& globals, const Json& object) {
  print(globals, std::string_view(json_line(object)));
}

/// Hands what was printed to standard output on at once; close_output() reports what that lost.
void flush_output();

/// Writes to a stream; on a terminal control characters are escaped.
void write(std::FILE* stream, std::string_view text);

/// Puts something in the place of each standard stream that is closed, so that no file which is
/// opened later takes what is printed. A command that is run finds it closed.
void reserve_standard_streams();

/// Closes stdout; false, with a message unless a closed pipe is the reason, when something could
/// not be written.
bool close_output();

/// "cgctl: MESSAGE" on stderr; returns the status the kind of error stands for.
Exit report(const Error& error);
/// Error::message(), with the command's options and commands in place of the library's members and
/// functions.
std::string message_of(const Error& error);
void warn(std::string_view message);
/// Warns of each, of those that say the same once.
void warn_of(const std::vector<Error>& errors);

/// True when stdout is a terminal and NO_COLOR is not set.
bool use_color();

enum class Color { bold, red, green, yellow };
/// `text` in that colour where use_color(), else as it is.
std::string paint(Color color, std::string_view text);

/// A name from the file system for the eye: on a terminal as escaped() writes it.
std::string printable(std::string_view name);

/// "1.5 GiB", "4.8 us": three significant digits at most, fixed units, no locale.
std::string human_bytes(std::uint64_t bytes);
std::string human_time(std::chrono::nanoseconds time);

/// "1 zombie", "12 zombies", "3 to 5 zombies" where the count is a range.
std::string in_words(const zombies::Count& count);

/// Columns as wide as their widest cell, two spaces apart. The last column should be one of free
/// text.
class Table {
 public:
  enum class Align { left, right };
  struct Column {
    std::string heading;
    Align align = Align::left;
  };

  explicit Table(std::vector<Column> columns) : columns_(std::move(columns)) {}
  void add(std::vector<std::string> cells) { rows_.push_back(std::move(cells)); }
  /// Its lines, each with a newline; the headings first, bold on a terminal.
  [[nodiscard]] std::string text() const;

 private:
  std::vector<Column> columns_;
  std::vector<std::vector<std::string>> rows_;
};

}  // namespace cgctl::tool
