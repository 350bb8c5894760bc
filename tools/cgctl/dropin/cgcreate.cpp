// SPDX-FileCopyrightText: The cgctl authors
// SPDX-License-Identifier: MIT
#include <fmt/format.h>

#include "cgctl/permissions.hpp"
#include "dropin.hpp"

namespace cgctl::tool::dropin::cgcreate {
namespace {

using permissions::Access;
using permissions::Permissions;

constexpr const char* name = "cgcreate";
constexpr const char* help =
    "usage: cgcreate [-t USER:GROUP] [-a USER:GROUP] [-d MODE] [-f MODE] [-s MODE]\n"
    "                -g CONTROLLERS:PATH...\n"
    "Create cgroups.\n"
    "  -g CONTROLLERS:PATH  the cgroup, in the hierarchies of these controllers\n"
    "  -a USER:GROUP        owner of its directory, and of its files except the task files\n"
    "  -t USER:GROUP        owner of its task files (tasks, cgroup.procs)\n"
    "  -d, --dperm MODE     mode of its directory\n"
    "  -f, --fperm MODE     mode of its files except the task files\n"
    "  -s, --tperm MODE     mode of its task files\n"
    "  -h, --help           print this help\n";

bool take_owner(const std::string& text, Access& out) {
  const std::size_t colon = text.find(':');
  const std::string user = text.substr(0, colon);
  const std::string group = colon == std::string::npos ? "" : text.substr(colon + 1);
  if (!user.empty()) {
    const auto found = permissions::find_user(user);
    if (!found) return false;
    out.user = found->user;
  }
  if (!group.empty()) {
    out.group = permissions::find_group(group);
    if (!out.group) return false;
  }
  return !user.empty() || !group.empty();
}

bool take_mode(const std::string& text, mode_t most, std::optional<mode_t>& out) {
  if (text.empty() || text.size() > 5) return false;
  if (text.find_first_not_of("01234567") != std::string::npos) return false;
  out = static_cast<mode_t>(std::stoul(text, nullptr, 8));
  return *out <= most;
}

/// Returns why the value of an option is refused.
const char* objection_to(int letter) {
  switch (letter) {
    case 'g':
      return "write CONTROLLERS:PATH";
    case 'd':
      return "not an octal mode up to 7777";
    case 'f':
    case 's':
      return "not an octal mode up to 777";
    default:
      return "no such user or group, write USER:GROUP";
  }
}

/// Creates a cgroup. If only its permissions cannot be set, it stays, as with libcgroup.
Status create(const Host& host, const Spec& spec, const Permissions& permissions) {
  Creation how;
  auto controllers = controllers_of(host, spec);
  if (!controllers) return fail(controllers.error());
  how.controllers = std::move(*controllers);
  const auto made = Group::create(host, spec.path, how);
  if (!made) return fail(made.error());
  const auto group = open(host, spec);
  if (!group) return fail(group.error());
  const auto set = permissions::set(*group, permissions);
  return set ? Status{} : fail(set.error());
}

}  // namespace

int run(int argc, char** argv) {
  std::vector<Spec> specs;
  Permissions permissions;
  Options options(argc, argv, "ha:t:g:d:f:s:",
                  {{"help", no_argument, nullptr, 'h'},
                   {"dperm", required_argument, nullptr, 'd'},
                   {"fperm", required_argument, nullptr, 'f'},
                   {"tperm", required_argument, nullptr, 's'}});
  for (int letter = options.next(); letter != -1; letter = options.next()) {
    bool valid = true;
    switch (letter) {
      case 'h':
        fmt::print("{}", help);
        return done;
      case 'a':
        valid = take_owner(optarg, permissions.files);
        break;
      case 't':
        valid = take_owner(optarg, permissions.tasks);
        break;
      case 'd':
        valid = take_mode(optarg, 07777, permissions.directory_mode);
        break;
      case 'f':
        valid = take_mode(optarg, 0777, permissions.files.mode);
        break;
      case 's':
        valid = take_mode(optarg, 0777, permissions.tasks.mode);
        break;
      case 'g':
        if (const auto spec = parse_spec(optarg)) {
          specs.push_back(*spec);
        } else {
          valid = false;
        }
        break;
      default:
        return refuse(name, "no such option: " + options.refused());
    }
    if (!valid) {
      return refuse(name, fmt::format("-{} '{}': {}", static_cast<char>(letter), optarg,
                                      objection_to(letter)));
    }
  }
  if (specs.empty()) return refuse(name, "-g CONTROLLERS:PATH is missing");
  if (!options.rest().empty())
    return refuse(name, "unexpected argument: " + options.rest().front());
  const auto host = Host::detect();
  if (!host) return report(name, host.error());
  int status = done;
  for (const Spec& spec : specs) {
    const auto made = create(*host, spec, permissions);
    if (!made) status = report(name, made.error());
  }
  return status;
}

}  // namespace cgctl::tool::dropin::cgcreate
