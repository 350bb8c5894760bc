// SPDX-FileCopyrightText: The cgctl authors
// SPDX-License-Identifier: MIT
#include <fmt/format.h>

#include <algorithm>
#include <memory>

#include "cgctl/group.hpp"
#include "cgctl/parse.hpp"
#include "cli/command.hpp"
#include "cli/globals.hpp"

namespace cgctl::tool::move_command {
namespace {

struct Options {
  std::string path;
  std::vector<std::string> words;
  std::vector<pid_t> tasks;
  bool threads = false;
};

/// Parses the PIDs. Throws CLI::ValidationError, which shows the right order if PID and PATH were
/// swapped.
void take_tasks(Options& options) {
  const auto is_number = [](const std::string& word) {
    return parse::whole_number(word).has_value();
  };
  const std::string given = options.path.substr(options.path.find('/') + 1);  // npos + 1 is 0
  const auto path = std::find_if_not(options.words.begin(), options.words.end(), is_number);
  if (path != options.words.end() && is_number(given)) {
    throw CLI::ValidationError(fmt::format(
        "'{}': not a process ID; PATH comes first: cgctl move {} {}", *path, *path, given));
  }
  for (const std::string& word : options.words) options.tasks.push_back(parse_task(word));
}

Exit run_move(const Globals& globals, const Options& options) {
  const auto host = host_to_change(globals);
  if (!host) return report(host.error());
  const auto group = host->open(options.path);
  if (!group) return report(group.error());
  Exit exit = Exit::done;
  for (const pid_t task : options.tasks) {
    const auto status = options.threads ? group->attach_thread(task) : group->attach(task);
    if (!status) exit = report(status.error());
  }
  return exit;
}

}  // namespace

void add(CLI::App& app, const Globals& globals, Run& run) {
  const auto options = std::make_shared<Options>();
  CLI::App* const command = app.add_subcommand(
      "move",
      "move processes into a cgroup\n\n"
      "Moves each process, with all its threads, into PATH in every hierarchy that has PATH. A "
      "process that cannot be moved stays where it was in every hierarchy; the others are still "
      "moved. Memory already charged stays charged to the old cgroup.");
  add_path(*command, options->path, "destination cgroup")->required();
  command->add_option("PID", options->words, "processes to move")->required()->type_name("");
  command->add_flag("-t,--threads", options->threads,
                    "each PID is a single thread to move; on v2 only\nwithin a threaded subtree");
  command->footer(
      "Examples:\n"
      "  cgctl move /batch/job-1 4242\n"
      "  cgctl move / $(cat /sys/fs/cgroup/batch/cgroup.procs)");
  command->callback([&globals, &run, options] {
    take_tasks(*options);
    run = [&globals, options] { return run_move(globals, *options); };
  });
}

}  // namespace cgctl::tool::move_command
