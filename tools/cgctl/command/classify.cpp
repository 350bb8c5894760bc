// SPDX-FileCopyrightText: The cgctl authors
// SPDX-License-Identifier: MIT
#include <fmt/format.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <filesystem>
#include <memory>

#include "cgctl/filesystem.hpp"
#include "cgctl/libcgroup.hpp"
#include "cgctl/parse.hpp"
#include "cli/command.hpp"
#include "cli/globals.hpp"
#include "cli/json.hpp"

namespace cgctl::tool::classify_command {
namespace {

struct Options {
  std::vector<pid_t> processes;
  bool all = false;
  bool dry_run = false;
};

/// True if a process has a command line; kernel threads have none.
bool has_program(const std::filesystem::path& directory) {
  const auto words = fs::read_trusted((directory / "cmdline").string());
  return words && !words->empty();
}

std::vector<pid_t> all_processes(const Globals& globals) {
  std::vector<pid_t> found;
  std::error_code error;
  for (const auto& entry : std::filesystem::directory_iterator(globals.roots.proc, error)) {
    const auto number = parse::whole_number(entry.path().filename().string());
    if (!number || static_cast<pid_t>(*number) == ::getpid()) continue;
    if (has_program(entry.path())) found.push_back(static_cast<pid_t>(*number));
  }
  std::sort(found.begin(), found.end());
  return found;
}

void show(const Globals& globals, const Options& options, pid_t process,
          const std::vector<libcgroup::Move>& moves) {
  if (globals.format == Format::json) {
    Json one{{"pid", process}, {"dry_run", options.dry_run}, {"moves", Json::array()}};
    for (const libcgroup::Move& move : moves) {
      one["moves"].push_back({{"hierarchy", move.hierarchy}, {"from", move.from}, {"to", move.to}});
    }
    print(globals, "classify/1", std::move(one));
    return;
  }
  if (moves.empty() && !options.all) {
    print(globals, fmt::format("{}: stays, no rule names another cgroup\n", process));
  }
  for (const libcgroup::Move& move : moves) {
    print(globals, fmt::format("{}: {} {} -> {}\n", process, move.hierarchy, printable(move.from),
                               printable(move.to)));
  }
}

Exit run_classify(const Globals& globals, const Options& options) {
  const auto host = options.dry_run ? globals.host() : host_to_change(globals);
  if (!host) return report(host.error());
  const auto processes = options.all ? all_processes(globals) : options.processes;
  const auto purpose = options.dry_run ? libcgroup::Purpose::ask : libcgroup::Purpose::move;
  const auto results = libcgroup::classify(*host, processes, purpose);
  Exit exit = Exit::done;
  for (std::size_t i = 0; i < processes.size(); ++i) {
    const auto& moves = results[i];
    if (moves) {
      show(globals, options, processes[i], *moves);
      continue;
    }
    if (options.all && moves.error().os_errno == ESRCH) continue;
    // The rules cause these errors, never the command line: the status is not `usage`.
    (void)report(moves.error());
    exit = Exit::failed;
    if (moves.error().kind == errc::unsupported || moves.error().kind == errc::malformed) break;
  }
  return exit;
}

}  // namespace

void add(CLI::App& app, const Globals& globals, Run& run) {
  const auto options = std::make_shared<Options>();
  CLI::App* const command = app.add_subcommand(
      "classify",
      "move processes according to cgrules.conf\n\n"
      "Moves each process, with all its threads, into the cgroup that cgrules.conf names: "
      "libcgroup's rules engine takes the first rule for the process's user, group and name in "
      "/etc/cgrules.conf and /etc/cgrules.d. The destination must exist, unless cgconfig.conf has "
      "a template for it. A process that cannot be moved stays where it was; the others are still "
      "moved.");
  add_tasks(*command, options->processes, "processes to move");
  command->add_flag("-a,--all", options->all, "move all processes except kernel threads");
  command->add_flag("-n,--dry-run", options->dry_run,
                    "only show the destinations; cgroups that a template\ndescribes are created "
                    "briefly and removed again");
  command->footer(
      "Examples:\n"
      "  cgctl classify --all --dry-run\n"
      "  cgctl classify $(pidof postgres)");
  command->callback([&globals, &run, options] {
    if (options->all != options->processes.empty()) {
      throw CLI::ValidationError(options->all ? "takes --all or PID, not both"
                                              : "needs PID or --all");
    }
    run = [&globals, options] { return run_classify(globals, *options); };
  });
}

}  // namespace cgctl::tool::classify_command
