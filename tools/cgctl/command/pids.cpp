// SPDX-FileCopyrightText: The cgctl authors
// SPDX-License-Identifier: MIT
#include "cgctl/pids.hpp"

#include <fmt/format.h>

#include <memory>

#include "cli/command.hpp"
#include "cli/json.hpp"
#include "cli/limits.hpp"

namespace cgctl::tool::pids_command {
namespace {

struct Options {
  std::string path;
  std::optional<pids::Max> max;
};

Json json_of(const Group& group, const pids::State& state) {
  return {{"path", group.path()},
          {"version", to_string(state.version)},
          {"tasks", or_null(state.tasks)},
          {"max_tasks", or_null(state.max ? state.max->tasks : std::nullopt)},
          {"peak_tasks", or_null(state.peak)},
          {"limit_hits", or_null(state.limit_hits)}};
}

std::string text_of(const Group& group, const pids::State& state) {
  std::string text = heading(group, "pids", state.version);
  const auto line = [&text](const char* name, const std::string& value) {
    text += fmt::format("  {:<12}{}\n", name, value);
  };
  if (state.tasks) line("tasks", std::to_string(*state.tasks));
  if (!state.max) line("max", "none: the root has no limit");
  if (state.max) line("max", state.max->tasks ? std::to_string(*state.max->tasks) : "none");
  if (state.peak) line("peak", std::to_string(*state.peak));
  if (state.limit_hits) line("limit hits", std::to_string(*state.limit_hits));
  return text;
}

Exit show(const Globals& globals, const Group& group) {
  return show_state(
      globals, "pids/1", pids::state(group),
      [&group](const pids::State& state) { return json_of(group, state); },
      [&group](const pids::State& state) { return text_of(group, state); });
}

Exit run_pids(const Globals& globals, const Options& options) {
  std::function<Written(const Group&)> set;
  if (options.max) set = [&options](const Group& group) { return pids::set(group, *options.max); };
  return show_or_set(
      globals, options.path, [&globals](const Group& group) { return show(globals, group); }, set);
}

}  // namespace

void add(CLI::App& app, const Globals& globals, Run& run) {
  const auto options = std::make_shared<Options>();
  CLI::App* const command = app.add_subcommand(
      "pids",
      "show or set how many processes and threads a cgroup may have\n\n"
      "Shows the number of tasks (processes and threads, those below included), the limit, and "
      "how often it was hit, or sets the limit. At the limit no task can start another one. A "
      "limit below the present number ends none.");
  add_path(*command, options->path, "cgroup to show or change")->required();
  add_pids_max(*command, "--max", options->max);
  command->footer(
      "Examples:\n"
      "  cgctl pids /batch\n"
      "  cgctl pids /batch --max 500");
  command->callback([&globals, &run, options] {
    run = [&globals, options] { return run_pids(globals, *options); };
  });
}

}  // namespace cgctl::tool::pids_command
