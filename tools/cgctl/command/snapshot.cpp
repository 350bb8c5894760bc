// SPDX-FileCopyrightText: The cgctl authors
// SPDX-License-Identifier: MIT
#include <fmt/format.h>

#include <memory>

#include "cgctl/cgconfig.hpp"
#include "cgctl/tree.hpp"
#include "cli/command.hpp"
#include "command/tree_json.hpp"

namespace cgctl::tool::snapshot_command {
namespace {

Exit run_snapshot(const Globals& globals, const std::string& path) {
  const auto host = globals.host();
  if (!host) return report(host.error());
  const auto tree = tree::snapshot(*host, path);
  if (!tree) return report(tree.error());
  if (globals.format == Format::json) {
    for (const tree::Cgroup& cgroup : *tree) print(globals, "snapshot/1", json_of(cgroup));
    return Exit::done;
  }
  auto text = cgconfig::format(*tree);
  if (!text) {
    text.error().hint = "write JSON instead: cgctl --json snapshot";
    return report(text.error());
  }
  print(globals, *text);
  const auto left_out = cgconfig::left_out(*tree);
  if (!left_out.empty()) {
    const std::string more =
        left_out.size() > 1 ? fmt::format(" and {} more", left_out.size() - 1) : "";
    warn(fmt::format(
        "{}{}: settings and cgroups on v2 that belong to no controller are left out, because "
        "libcgroup refuses them (cgctl --json snapshot includes them)",
        left_out.front(), more));
  }
  return Exit::done;
}

}  // namespace

void add(CLI::App& app, const Globals& globals, Run& run) {
  const auto path = std::make_shared<std::string>("/");
  CLI::App* const command = app.add_subcommand(
      "snapshot",
      "print the settings of a tree of cgroups, for `cgctl apply`\n\n"
      "Prints the cgroups at PATH and below, with all controller settings that differ from those "
      "of a new cgroup, as the text of cgconfig.conf, which `cgctl apply` and libcgroup's "
      "cgconfigparser read; with --json as JSON, one cgroup per line. Device rules (v1 devices), "
      "processes and owners are not settings and are left out.");
  add_path(*command, *path, "top of the tree (default /)");
  command->footer(
      "Examples:\n"
      "  cgctl snapshot /batch > batch.conf\n"
      "  cgctl --json snapshot | jq -r 'select(.controllers.cpu != null).path'");
  command->callback(
      [&globals, &run, path] { run = [&globals, path] { return run_snapshot(globals, *path); }; });
}

}  // namespace cgctl::tool::snapshot_command
