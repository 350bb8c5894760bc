// SPDX-FileCopyrightText: The cgctl authors
// SPDX-License-Identifier: MIT
#include "cgctl/cpuset.hpp"

#include <fmt/format.h>

#include <memory>

#include "cli/command.hpp"
#include "cli/json.hpp"
#include "cli/limits.hpp"

namespace cgctl::tool::cpuset_command {
namespace {

struct Options {
  std::string path;
  cpuset::Change wanted;
};

Json json_of(const Group& group, const cpuset::State& state) {
  return {{"path", group.path()},
          {"version", to_string(state.version)},
          {"allowed_cpus", or_null(state.cpus)},
          {"allowed_nodes", or_null(state.nodes)},
          {"effective_cpus", or_null(state.effective_cpus)},
          {"effective_nodes", or_null(state.effective_nodes)}};
}

std::string list_text(const cpuset::Ids& ids, Version version) {
  if (!ids.empty()) return cpuset::to_string(ids);
  return version == Version::v1 ? "none: it takes no tasks" : "those of the cgroup above";
}

std::string text_of(const Group& group, const cpuset::State& state) {
  std::string text = heading(group, "cpuset", state.version);
  const auto line = [&text](const char* name, const std::string& value) {
    text += fmt::format("  {:<12}{}\n", name, value);
  };
  if (state.cpus) line("CPUs", list_text(*state.cpus, state.version));
  if (state.nodes) line("nodes", list_text(*state.nodes, state.version));
  if (state.effective_cpus && state.effective_nodes) {
    const auto text_or_none = [](const cpuset::Ids& ids) {
      return ids.empty() ? "none" : cpuset::to_string(ids);
    };
    line("in effect", fmt::format("CPUs {}, nodes {}", text_or_none(*state.effective_cpus),
                                  text_or_none(*state.effective_nodes)));
  }
  return text;
}

Exit show(const Globals& globals, const Group& group) {
  return show_state(
      globals, "cpuset/1", cpuset::state(group),
      [&group](const cpuset::State& state) { return json_of(group, state); },
      [&group](const cpuset::State& state) { return text_of(group, state); });
}

Exit run_cpuset(const Globals& globals, const Options& options) {
  std::function<Written(const Group&)> set;
  if (!options.wanted.empty()) {
    set = [&options](const Group& group) { return cpuset::set(group, options.wanted); };
  }
  return show_or_set(
      globals, options.path, [&globals](const Group& group) { return show(globals, group); }, set);
}

}  // namespace

void add(CLI::App& app, const Globals& globals, Run& run) {
  const auto options = std::make_shared<Options>();
  CLI::App* const command = app.add_subcommand(
      "cpuset",
      "show or set which CPUs and memory nodes a cgroup may use\n\n"
      "Shows the lists that are set and those in effect, or writes the lists given. A new cgroup "
      "of v1 takes no tasks before it has both lists: if only one is given, the other one becomes "
      "the parent's.");
  add_path(*command, options->path, "cgroup to show or change")->required();
  add_ids(*command, "--cpus", "CPUs, such as 0-3,8; parent: those of the parent",
          options->wanted.cpus);
  add_ids(*command, "--mems", "memory nodes, such as 0; parent: those of the parent",
          options->wanted.nodes);
  command->footer(
      "Examples:\n"
      "  cgctl cpuset /batch\n"
      "  cgctl cpuset /batch --cpus 0-3,8");
  command->callback([&globals, &run, options] {
    run = [&globals, options] { return run_cpuset(globals, *options); };
  });
}

}  // namespace cgctl::tool::cpuset_command
