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
#include "cli/unit.hpp"

namespace cgctl::tool::create_command {
namespace {

struct Options : WantedLimits {
  std::vector<std::string> paths;
  Creation how;
  std::string slice;
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

void print_created(const Globals& globals, const Group& group) {
  if (globals.format == Format::text) return;
  Json one{{"path", group.path()}, {"hierarchies", Json::array()}};
  for (const auto& place : group.places()) one["hierarchies"].push_back(label(*place.hierarchy));
  print(globals, "create/1", std::move(one));
}

/// Lets systemd start a slice, or change its limits.
Exit run_create_slice(const Globals& globals, const Host& host, const Options& options) {
  const auto limits = translate(host, options);
  if (!limits) return report(limits.error());
  const std::string name = unit_name(options.slice, ".slice");
  if (!limits->left_names.empty()) {
    return report(Error::make(errc::unsupported, "start", name,
                              "systemd has no property for " + limits->left_names,
                              "set it in a cgroup below a unit with Delegate=yes"));
  }
  std::string instead = "systemctl start " + quoted(name);
  if (!limits->properties.empty()) {
    instead += " && systemctl set-property --runtime " + quoted(name);
    for (const systemd::Property& property : limits->properties) {
      for (const std::string& one : property.assignments) instead += " " + quoted(one);
    }
  }
  const auto status = require_systemd(globals, name, instead);
  if (!status) return report(status.error());
  const auto unit = systemd::start_slice(name, limits->properties);
  if (!unit) return report(unit.error());
  const auto group = host.open(unit->cgroup);
  if (!group) return report(group.error());
  print_created(globals, *group);
  return Exit::done;
}

Exit run_create(const Globals& globals, const Options& options) {
  const auto host = host_to_change(globals);
  if (!host) return report(host.error());
  if (!options.slice.empty()) return run_create_slice(globals, *host, options);
  for (const std::string& path : options.paths) {
    const auto group = Group::create(*host, path, options.how);
    if (!group) return report(group.error());
    print_created(globals, *group);
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
      "PATH is undone.\n\n"
      "With --slice systemd makes the cgroup: a slice, which has the limits as its properties. If "
      "the slice exists, its limits are changed until the next boot.");
  add_paths(*command, options->paths, "cgroups to create")->required(false);
  add_controllers(*command, options->how.controllers);
  command
      ->add_option_function<std::string>(
          "--owner", [options](const std::string& text) { options->how.owner = owner_of(text); },
          "delegate the cgroup: this user may create cgroups\nbelow it and move processes, but not "
          "raise its\nlimits")
      ->type_name("USER[:GROUP]");
  command
      ->add_option("--slice", options->slice,
                   "let systemd make a slice, such as batch.slice, with\nthe limits below")
      ->type_name("NAME")
      ->excludes("PATH")
      ->excludes("--controllers")
      ->excludes("--owner");
  add_limits(*command, *options);
  command->footer(
      "Examples:\n"
      "  cgctl create /batch/job-1\n"
      "  cgctl create -c cpu,memory,pids --owner build:build /build\n"
      "  cgctl create --slice batch --cpus 2 --high 4G");
  command->callback([&globals, &run, options] {
    if (options->slice.empty() && options->paths.empty()) throw CLI::RequiredError("PATH");
    if (options->slice.empty() && !options->empty()) {
      throw CLI::ValidationError(
          "limits need --slice: for a PATH, use `cgctl cpu`, `cgctl memory` and so on");
    }
    run = [&globals, options] { return run_create(globals, *options); };
  });
}

}  // namespace cgctl::tool::create_command
