// SPDX-FileCopyrightText: The cgctl authors
// SPDX-License-Identifier: MIT
#include <fmt/format.h>

#include "cgctl/libcgroup.hpp"
#include "cgctl/parse.hpp"
#include "dropin.hpp"

namespace cgctl::tool::dropin::cgclassify {
namespace {

constexpr const char* name = "cgclassify";
constexpr const char* help =
    "usage: cgclassify [-g CONTROLLERS:PATH]... [--sticky | --cancel-sticky] PID...\n"
    "Move processes into cgroups, by default into those that cgrules.conf names.\n"
    "  -g CONTROLLERS:PATH  the cgroup, in the hierarchies of these controllers\n"
    "  --sticky             keep cgrulesengd from moving them and their children\n"
    "  --cancel-sticky      let cgrulesengd move them again\n"
    "  -h, --help           print this help\n";

Status move(const Host& host, const std::vector<Spec>& specs, pid_t process) {
  if (specs.empty()) {
    const auto moved = libcgroup::classify(host, {process}, libcgroup::Purpose::move).front();
    return moved ? Status{} : fail(moved.error());
  }
  const auto groups = open(host, specs);
  if (!groups) return fail(groups.error());
  return attach(*groups, process);
}

}  // namespace

int run(int argc, char** argv) {
  std::vector<Spec> specs;
  std::optional<libcgroup::Daemon> daemon;
  Options options(argc, argv, "+g:hsu",
                  {{"sticky", no_argument, nullptr, 's'},
                   {"cancel-sticky", no_argument, nullptr, 'u'},
                   {"help", no_argument, nullptr, 'h'}});
  for (int letter = options.next(); letter != -1; letter = options.next()) {
    switch (letter) {
      case 'h':
        fmt::print("{}", help);
        return done;
      case 's':
        daemon = libcgroup::Daemon::leave_alone;
        break;
      case 'u':
        daemon = libcgroup::Daemon::may_move;
        break;
      case 'g': {
        const auto spec = parse_spec(optarg);
        if (!spec) return refuse(name, fmt::format("-g '{}': write CONTROLLERS:PATH", optarg));
        specs.push_back(*spec);
        break;
      }
      default:
        return refuse(name, "no such option: " + options.refused());
    }
  }
  const auto texts = options.rest();
  if (texts.empty()) return refuse(name, "a process ID is missing");
  const auto host = Host::detect();
  if (!host) return report(name, host.error());
  int status = done;
  for (const std::string& text : texts) {
    const auto number = parse::whole_number(text);
    if (!number || *number == 0 || *number > INT32_MAX) {
      return refuse(name, "'" + text + "': not a process ID");
    }
    const auto process = static_cast<pid_t>(*number);
    if (daemon) {
      const auto told = libcgroup::register_with_daemon(process, *daemon);
      if (!told) status = report(name, told.error());
    }
    const auto moved = move(*host, specs, process);
    if (!moved) status = report(name, moved.error());
  }
  return status;
}

}  // namespace cgctl::tool::dropin::cgclassify
