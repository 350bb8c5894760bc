// SPDX-FileCopyrightText: The cgctl authors
// SPDX-License-Identifier: MIT
#include <fmt/format.h>

#include <memory>

#include "cgctl/freezer.hpp"
#include "cgctl/group.hpp"
#include "cli/command.hpp"
#include "cli/globals.hpp"
#include "cli/json.hpp"

namespace cgctl::tool::freeze_command {
namespace {

struct Options {
  std::vector<std::string> paths;
  std::chrono::nanoseconds deadline = std::chrono::seconds(5);
};

Json json_of(const Group& group, const freezer::State& state) {
  return {{"path", group.path()},
          {"asked", state.asked},
          {"above", state.above},
          {"frozen", state.frozen}};
}

/// Changes each cgroup by `change`, which returns its state.
template <class Change>
Exit change_each(const Globals& globals, const Options& options, Change change) {
  const auto host = host_to_change(globals);
  if (!host) return report(host.error());
  Exit exit = Exit::done;
  for (const std::string& path : options.paths) {
    const auto group = host->open(path);
    const Result<freezer::State> state = group ? change(*group) : fail(group.error());
    if (!state) {
      exit = report(state.error());
      continue;
    }
    if (globals.format == Format::json) print(globals, "freezer/1", json_of(*group, *state));
    if (!state->asked && state->frozen) {
      warn(fmt::format("thaw {}: it stays frozen, because a cgroup above is (thaw that one)",
                       printable(group->path())));
    }
  }
  return exit;
}

Result<freezer::State> freeze(const Group& group, std::chrono::nanoseconds deadline) {
  const auto status =
      freezer::freeze(group, std::chrono::ceil<std::chrono::milliseconds>(deadline));
  if (!status) return fail(status.error());
  return freezer::state(group);
}

}  // namespace

void add(CLI::App& app, const Globals& globals, Run& run) {
  const auto options = std::make_shared<Options>();
  CLI::App* const command = app.add_subcommand(
      "freeze",
      "stop all processes of cgroups\n\n"
      "Stops all processes of each PATH and of the cgroups below (v1 freezer, v2 cgroup.freeze), "
      "and returns once all have stopped. If they have not at the deadline, they continue.");
  add_paths(*command, options->paths, "cgroups to freeze");
  add_time(*command, "--deadline", options->deadline, "longest time to wait (default 5s)");
  command->footer("Example:\n  cgctl freeze /batch");
  command->callback([&globals, &run, options] {
    run = [&globals, options] {
      return change_each(globals, *options,
                         [&](const Group& group) { return freeze(group, options->deadline); });
    };
  });
}

}  // namespace cgctl::tool::freeze_command

void cgctl::tool::thaw_command::add(CLI::App& app, const Globals& globals, Run& run) {
  const auto options = std::make_shared<freeze_command::Options>();
  CLI::App* const command =
      app.add_subcommand("thaw",
                         "let the processes of frozen cgroups continue\n\n"
                         "Lets the processes of each PATH continue. They stay frozen while a "
                         "cgroup above is.");
  add_paths(*command, options->paths, "cgroups to thaw");
  command->footer("Example:\n  cgctl thaw /batch");
  command->callback([&globals, &run, options] {
    run = [&globals, options] {
      return freeze_command::change_each(globals, *options, freezer::thaw);
    };
  });
}
