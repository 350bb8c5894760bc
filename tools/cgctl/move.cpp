// SPDX-FileCopyrightText: The cgctl authors
// SPDX-License-Identifier: MIT
#include <memory>

#include "cgctl/group.hpp"
#include "command.hpp"

namespace cgctl::tool::move_command {
namespace {

struct Options {
  std::string path;
  std::vector<pid_t> tasks;
  bool threads = false;
};

Exit run_move(const Globals& globals, const Options& options) {
  const auto host = globals.host();
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
      "Moves each process, with all its threads, into PATH in every hierarchy that has it. One "
      "that cannot be moved stays where it was in all of them; the others are moved all the "
      "same. Memory already charged stays charged to the old cgroup.");
  add_path(*command, options->path, "the cgroup to move them into")->required();
  add_tasks(*command, options->tasks, "the processes")->required();
  command->add_flag("-t,--threads", options->threads,
                    "PID are single threads; on v2 only within a\nthreaded subtree");
  command->footer(
      "Examples:\n"
      "  cgctl move /batch/job-1 4242\n"
      "  cgctl move / $(cat /sys/fs/cgroup/batch/cgroup.procs)");
  command->callback([&globals, &run, options] {
    run = [&globals, options] { return run_move(globals, *options); };
  });
}

}  // namespace cgctl::tool::move_command
