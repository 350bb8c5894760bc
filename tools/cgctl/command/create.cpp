// SPDX-FileCopyrightText: The cgctl authors
// SPDX-License-Identifier: MIT
#include <algorithm>
#include <memory>
#include <optional>

#include "cgctl/group.hpp"
#include "cgctl/permissions.hpp"
#include "cli/command.hpp"
#include "cli/globals.hpp"
#include "cli/json.hpp"
#include "cli/label.hpp"
#include "cli/systemd_note.hpp"

namespace cgctl::tool::create_command {
namespace {

struct Options {
  std::vector<std::string> paths;
  Creation how;
};

/// Parses USER[:GROUP]; the default group is the user's own. Throws CLI::ValidationError.
Owner owner_of(const std::string& text) {
  const std::size_t colon = std::min(text.find(':'), text.size());
  auto owner = permissions::find_user(text.substr(0, colon));
  if (!owner) {
    throw CLI::ValidationError("--owner '" + text + "': no such user in /etc/passwd");
  }
  if (colon == text.size()) return *owner;
  const auto group = permissions::find_group(text.substr(colon + 1));
  if (!group) throw CLI::ValidationError("--owner '" + text + "': no such group in /etc/group");
  owner->group = *group;
  return *owner;
}

Exit run_create(const Globals& globals, const Options& options) {
  const auto host = host_to_change(globals);
  if (!host) return report(host.error());
  for (const std::string& path : options.paths) {
    const auto group = Group::create(*host, path, options.how);
    if (!group) return report(group.error());
    if (globals.format == Format::text) continue;
    Json one{{"path", group->path()}, {"hierarchies", Json::array()}};
    for (const auto& place : group->places()) one["hierarchies"].push_back(label(*place.hierarchy));
    print(globals, "create/1", std::move(one));
  }
  warn_of_systemd(globals, *host, options.paths, Doing::makes);
  return Exit::done;
}

}  // namespace

void add(CLI::App& app, const Globals& globals, Run& run) {
  const auto options = std::make_shared<Options>();
  CLI::App* const command = app.add_subcommand(
      "create",
      "create cgroups\n\n"
      "Creates each PATH, and missing cgroups above it, in every hierarchy that has a requested "
      "controller, on v1 and v2 alike; on v2 the controllers are enabled from the root down. A "
      "cgroup that exists already is left as it is. If something fails, everything done for that "
      "PATH is undone.");
  add_paths(*command, options->paths, "cgroups to create");
  add_controllers(*command, options->how.controllers);
  command
      ->add_option_function<std::string>(
          "--owner", [options](const std::string& text) { options->how.owner = owner_of(text); },
          "delegate the cgroup: this user may create cgroups\nbelow it and move processes, but not "
          "raise its\nlimits")
      ->type_name("USER[:GROUP]");
  command->footer(
      "Examples:\n"
      "  cgctl create /batch/job-1\n"
      "  cgctl create -c cpu,memory,pids --owner build:build /build");
  command->callback([&globals, &run, options] {
    run = [&globals, options] { return run_create(globals, *options); };
  });
}

}  // namespace cgctl::tool::create_command
