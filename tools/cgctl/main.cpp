// SPDX-FileCopyrightText: The cgctl authors
// SPDX-License-Identifier: MIT
#include <fmt/format.h>

#include <algorithm>
#include <array>
#include <cstdio>
#include <exception>
#include <new>
#include <string_view>
#include <vector>

#include "build_info.hpp"
#include "cli/command.hpp"
#include "cli/help.hpp"
#include "complete/complete.hpp"
#include "dropin/dropin.hpp"

namespace {

using cgctl::tool::Exit;

std::string not_empty(const std::string& text) {
  return text.empty() ? "the directory is empty: is a variable not set?" : "";
}

std::string version() {
  return fmt::format("cgctl {} ({}, {}, {})", cgctl::build::version, cgctl::build::compiler,
                     cgctl::build::type, cgctl::build::linkage);
}

void describe(CLI::App& app, cgctl::tool::Globals& globals) {
  app.description(
      "Finds, measures and frees memory cgroups that were removed but that the kernel still holds "
      "(zombies).\n\n"
      "cgctl counts zombies, reads memory.numa_stat without stalling a CPU, and frees zombies by "
      "the mildest means that works; it shows the count before and after. It also limits CPU time "
      "and memory, shows usage, and runs commands inside cgroups, on cgroup v1, v2 and hybrid "
      "hosts alike.");
  app.add_option("--cgroup-root", globals.roots.cgroup,
                 "directory of cgroup mounts (default /sys/fs/cgroup)")
      ->type_name("DIR");
  app.add_option("--proc-root", globals.roots.proc, "mount point of procfs (default /proc)")
      ->type_name("DIR");
  app.add_option("--sys-root", globals.roots.sys, "mount point of sysfs (default /sys)")
      ->type_name("DIR");
  app.add_option("--host-root", globals.host_root,
                 "root directory of the machine whose pods and units are named (default: that of "
                 "--proc-root)")
      ->type_name("DIR");
  for (CLI::Option* const root : app.get_options()) {
    if (root->get_type_name() == "DIR") root->check(not_empty);
  }
  app.add_flag_callback(
      "--json", [&globals] { globals.format = cgctl::tool::Format::json; },
      "print JSON for programs, one object per line");
  app.add_flag("-q,--quiet", globals.quiet, "print nothing but errors");
  app.set_version_flag("--version", version(), "print version, compiler, build type, linkage");
  app.footer(
      "Examples:\n"
      "  cgctl doctor                     examine this host in one screen\n"
      "  cgctl zombies                    count zombies, and show where they hang\n"
      "  cgctl mitigate --once --dry-run  show what mitigate would do, and why\n"
      "  cgctl run --cpus 0.5 -- make     run a build with half a CPU\n"
      "  cgctl stat /batch                show what a cgroup uses now\n\n"
      "Exit status: 0 done or nothing to do, 1 failed, 2 wrong usage, 3 refused by a\n"
      "guard, 4 acted without effect, 75 another instance is running. `run` exits as\n"
      "its command did.\n"
      "Manual: man 8 cgctl");
}

struct Command {
  std::string_view name;
  const char* group;  ///< its heading in --help
  void (*add)(CLI::App& app, const cgctl::tool::Globals& globals, cgctl::tool::Run& run);
};

constexpr const char* cure = "Find and free zombies";
constexpr const char* look = "Show cgroups and their usage";
constexpr const char* control = "Create, change and use cgroups";

/// The commands, in the order of --help.
constexpr std::array<Command, 32> commands = {{
    {"doctor", cure, cgctl::tool::doctor_command::add},
    {"zombies", cure, cgctl::tool::zombies_command::add},
    {"census", cure, cgctl::tool::census_command::add},
    {"numa-stat", cure, cgctl::tool::numa_stat_command::add},
    {"record", cure, cgctl::tool::record_command::add},
    {"check", cure, cgctl::tool::check_command::add},
    {"mitigate", cure, cgctl::tool::mitigate_command::add},
    {"history", cure, cgctl::tool::history_command::add},
    {"info", look, cgctl::tool::info_command::add},
    {"ls", look, cgctl::tool::ls_command::add},
    {"get", look, cgctl::tool::get_command::add},
    {"snapshot", look, cgctl::tool::snapshot_command::add},
    {"top", look, cgctl::tool::top_command::add},
    {"stat", look, cgctl::tool::stat_command::add},
    {"pressure", look, cgctl::tool::pressure_command::add},
    {"metrics", look, cgctl::tool::metrics_command::add},
    {"create", control, cgctl::tool::create_command::add},
    {"delete", control, cgctl::tool::delete_command::add},
    {"prune", control, cgctl::tool::prune_command::add},
    {"move", control, cgctl::tool::move_command::add},
    {"freeze", control, cgctl::tool::freeze_command::add},
    {"thaw", control, cgctl::tool::thaw_command::add},
    {"classify", control, cgctl::tool::classify_command::add},
    {"set", control, cgctl::tool::set_command::add},
    {"apply", control, cgctl::tool::apply_command::add},
    {"run", control, cgctl::tool::run_command::add},
    {"cpu", control, cgctl::tool::cpu_command::add},
    {"memory", control, cgctl::tool::memory_command::add},
    {"pids", control, cgctl::tool::pids_command::add},
    {"io", control, cgctl::tool::io_command::add},
    {"cpuset", control, cgctl::tool::cpuset_command::add},
    {"drop-caches", control, cgctl::tool::drop_caches_command::add},
}};

bool is_command(std::string_view name) {
  return std::any_of(commands.begin(), commands.end(),
                     [&](const Command& command) { return command.name == name; });
}

/// Adds only the command `name`, because describing a command takes longer than running most; adds
/// all commands if `name` is none of them.
void add_commands(CLI::App& app, const cgctl::tool::Globals& globals, cgctl::tool::Run& run,
                  std::string_view name) {
  const auto named = std::find_if(commands.begin(), commands.end(),
                                  [&](const Command& command) { return command.name == name; });
  if (named != commands.end()) return named->add(app, globals, run);
  for (const Command& command : commands) {
    app.group(command.group);  // the command inherits it
    command.add(app, globals, run);
  }
}

bool may_be_option(std::string_view word) { return word.substr(0, 1) == "-"; }

/// True if the common options are among `words`, or may be.
bool has_common_options(const CLI::App& app, const std::vector<char*>& words) {
  const auto added = app.get_subcommands({});
  const CLI::App* const command = added.size() == 1 ? added.front() : nullptr;
  return std::any_of(words.begin(), words.end(), [command](std::string_view word) {
    if (!may_be_option(word)) return false;
    if (command == nullptr) return true;
    const auto* const own =
        command->get_option_no_throw(std::string(word.substr(0, word.find('='))));
    // The help of a command shows the common options.
    return own == nullptr || own == command->get_help_ptr();
  });
}

/// Returns the words after the first "--", with the program's name before them.
std::vector<char*> line_to_complete(int argc, char** argv) {
  char** const end = argv + argc;
  char** const dashes = std::find(argv, end, std::string_view("--"));
  std::vector<char*> line = {argv[0]};
  if (dashes != end) line.insert(line.end(), dashes + 1, end);
  return line;
}

int finish(Exit status) {
  if (!cgctl::tool::close_output() && status == Exit::done) status = Exit::failed;
  return static_cast<int>(status);
}

}  // namespace

int main(int argc, char** argv) try {
  using namespace cgctl::tool;
  reserve_standard_streams();
  if (const auto program = dropin::program_named(argv[0])) {
    return finish(static_cast<Exit>(program(argc, argv)));
  }
  std::vector<char*> line(argv, argv + argc);
  words_as_options(line, is_command);
  const int count = static_cast<int>(line.size());
  // Describing the options and commands takes longer than answering.
  if (count == 2 && line[1] == std::string_view("--version")) {
    print({}, version() + "\n");
    return finish(Exit::done);
  }
  CLI::App app("", "cgctl");
  Globals globals;
  Run run;
  set_help_form(app);
  const std::string_view name = command_word(count, line.data());
  const bool completes = name == "complete";
  // Commands inherit the option for help. Describing options takes longer than many commands.
  if (!completes && std::none_of(line.begin(), line.end(), may_be_option)) app.set_help_flag();
  add_commands(app, globals, run, name);
  if (completes || has_common_options(app, line)) describe(app, globals);
  line.push_back(nullptr);
  if (completes)
    return finish(complete_command::run_complete(app, globals, line_to_complete(argc, argv)));
  try {
    app.parse(take_command(count, line.data(), globals.command), line.data());
  } catch (const CLI::Success& asked_for) {
    print({}, answer(app, asked_for));
    return finish(Exit::done);
  } catch (const CLI::ParseError& error) {
    warn(usage_error(app, error));
    return finish(name == "check" ? check_command::wrong_usage : Exit::usage);
  }
  if (!run) {
    std::fputs(short_help, stderr);
    return finish(Exit::usage);
  }
  return finish(run());
} catch (const std::bad_alloc&) {
  // Formatting a message would need memory.
  std::fputs("cgctl: out of memory (raise the limit: ulimit -v, memory.max)\n", stderr);
  return static_cast<int>(Exit::failed);
} catch (const std::exception& error) {
  cgctl::tool::warn(fmt::format("internal error: {}", error.what()));
  return static_cast<int>(Exit::failed);
}
