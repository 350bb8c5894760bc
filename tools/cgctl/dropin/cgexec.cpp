// SPDX-FileCopyrightText: The cgctl authors
// SPDX-License-Identifier: MIT
#include <fmt/format.h>
#include <unistd.h>

#include <cerrno>
#include <cstring>

#include "cgctl/libcgroup.hpp"
#include "dropin.hpp"

namespace cgctl::tool::dropin::cgexec {
namespace {

constexpr const char* name = "cgexec";
constexpr const char* help =
    "usage: cgexec [-g CONTROLLERS:PATH]... [--sticky] COMMAND [ARGUMENT]...\n"
    "Run a command in cgroups, by default in those that cgrules.conf names for it.\n"
    "  -g CONTROLLERS:PATH  the cgroup, in the hierarchies of these controllers\n"
    "  --sticky             keep cgrulesengd from moving it and its children\n"
    "  -h, --help           print this help\n";

constexpr int cannot_execute = 126;
constexpr int not_found = 127;

Status enter(const Host& host, const std::vector<Spec>& specs, const char* command) {
  if (specs.empty()) {
    const auto moved = libcgroup::classify_as(host, ::getpid(), command);
    return moved ? Status{} : fail(moved.error());
  }
  const auto groups = open(host, specs);
  if (!groups) return fail(groups.error());
  return attach(*groups, ::getpid());
}

}  // namespace

int run(int argc, char** argv) {
  std::vector<Spec> specs;
  bool sticky = false;
  Options options(argc, argv, "+g:hs",
                  {{"sticky", no_argument, nullptr, 's'}, {"help", no_argument, nullptr, 'h'}});
  for (int letter = options.next(); letter != -1; letter = options.next()) {
    if (letter == 'h') {
      fmt::print("{}", help);
      return done;
    }
    if (letter == 's') {
      sticky = true;
    } else if (letter == 'g') {
      const auto spec = parse_spec(optarg);
      if (!spec) return refuse(name, fmt::format("-g '{}': write CONTROLLERS:PATH", optarg));
      specs.push_back(*spec);
    } else {
      return refuse(name, "no such option: " + options.refused());
    }
  }
  if (optind == argc) return refuse(name, "the command is missing");
  char** const command = argv + optind;
  const auto host = Host::detect();
  if (!host) return report(name, host.error());
  if (sticky) {
    const auto kept = libcgroup::register_with_daemon(::getpid(), libcgroup::Daemon::leave_alone);
    if (!kept) return report(name, kept.error());
  }
  if (const auto entered = enter(*host, specs, *command); !entered) {
    return report(name, entered.error());
  }
  ::execvp(*command, command);
  const int reason = errno;
  say(name, fmt::format("execute {}: {}", *command, std::strerror(reason)));
  return reason == ENOENT ? not_found : cannot_execute;
}

}  // namespace cgctl::tool::dropin::cgexec
