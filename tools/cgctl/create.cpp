// SPDX-FileCopyrightText: The cgctl authors
// SPDX-License-Identifier: MIT
#include <grp.h>
#include <pwd.h>

#include <algorithm>
#include <cstdio>
#include <limits>
#include <memory>
#include <optional>

#include "cgctl/group.hpp"
#include "cgctl/parse.hpp"
#include "command.hpp"
#include "json.hpp"
#include "label.hpp"

namespace cgctl::tool::create_command {
namespace {

struct Options {
  std::vector<std::string> paths;
  Creation how;
};

using File = std::unique_ptr<std::FILE, int (*)(std::FILE*)>;

File open_list(const char* path) { return {std::fopen(path, "re"), std::fclose}; }

// Not getpwnam(3) and getgrnam(3): the libraries they load are not there for the static command.

/// The greatest number is chown(2)'s "as it is".
std::optional<std::uint64_t> id_of(const std::string& text) {
  const auto number = parse::whole_number(text);
  return number && *number < std::numeric_limits<uid_t>::max() ? number : std::nullopt;
}

/// A name in /etc/passwd, or a number, whose group is the same number if /etc/passwd lacks it.
std::optional<Owner> find_user(const std::string& name) {
  const auto number = id_of(name);
  const File list = open_list("/etc/passwd");
  while (const passwd* const user = list ? ::fgetpwent(list.get()) : nullptr) {
    if (user->pw_name == name || (number && user->pw_uid == *number)) {
      return Owner{user->pw_uid, user->pw_gid};
    }
  }
  if (!number) return std::nullopt;
  return Owner{static_cast<uid_t>(*number), static_cast<gid_t>(*number)};
}

std::optional<gid_t> find_group(const std::string& name) {
  if (const auto number = id_of(name)) return static_cast<gid_t>(*number);
  const File list = open_list("/etc/group");
  while (const group* const found = list ? ::fgetgrent(list.get()) : nullptr) {
    if (found->gr_name == name) return found->gr_gid;
  }
  return std::nullopt;
}

/// USER[:GROUP]; without a group the user's own. Throws CLI::ValidationError.
Owner owner_of(const std::string& text) {
  const std::size_t colon = std::min(text.find(':'), text.size());
  auto owner = find_user(text.substr(0, colon));
  if (!owner) {
    throw CLI::ValidationError("--owner '" + text + "': no such user in /etc/passwd");
  }
  if (colon == text.size()) return *owner;
  const auto group = find_group(text.substr(colon + 1));
  if (!group) throw CLI::ValidationError("--owner '" + text + "': no such group in /etc/group");
  owner->group = *group;
  return *owner;
}

Exit run_create(const Globals& globals, const Options& options) {
  const auto host = globals.host();
  if (!host) return report(host.error());
  for (const std::string& path : options.paths) {
    const auto group = Group::create(*host, path, options.how);
    if (!group) return report(group.error());
    if (globals.format == Format::text) continue;
    Json one{{"path", group->path()}, {"hierarchies", Json::array()}};
    for (const auto& place : group->places()) one["hierarchies"].push_back(label(*place.hierarchy));
    print(globals, one);
  }
  return Exit::done;
}

}  // namespace

void add(CLI::App& app, const Globals& globals, Run& run) {
  const auto options = std::make_shared<Options>();
  CLI::App* const command = app.add_subcommand(
      "create",
      "make cgroups\n\n"
      "Makes each PATH, and the cgroups above it that are missing, in every hierarchy that has a "
      "wanted controller, whichever version it has; on v2 the controllers are enabled from the "
      "root down. One that exists is left as it is. When something fails, what was made for that "
      "PATH is undone.");
  add_paths(*command, options->paths, "the cgroups");
  add_controllers(*command, options->how.controllers);
  command
      ->add_option_function<std::string>(
          "--owner", [options](const std::string& text) { options->how.owner = owner_of(text); },
          "delegate it: this user may make cgroups below\nand move processes, not raise its limits")
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
