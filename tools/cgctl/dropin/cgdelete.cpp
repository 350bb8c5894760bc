// SPDX-FileCopyrightText: The cgctl authors
// SPDX-License-Identifier: MIT
#include <fmt/format.h>

#include <cerrno>

#include "cgctl/filesystem.hpp"
#include "dropin.hpp"

namespace cgctl::tool::dropin::cgdelete {
namespace {

constexpr const char* name = "cgdelete";
constexpr const char* help =
    "usage: cgdelete [-r] [-g] CONTROLLERS:PATH...\n"
    "Remove cgroups. Their processes are moved into the parent cgroup.\n"
    "  -g CONTROLLERS:PATH  the cgroup (-g may be omitted)\n"
    "  -r, --recursive      also remove the cgroups below it\n"
    "  -h, --help           print this help\n";

/// Moves the processes of a cgroup, if `recursive` also those below, into `target`.
Status move_out(const Group& group, const Group& target, bool recursive) {
  const auto processes = recursive ? group.processes_below() : group.processes();
  if (!processes) return fail(processes.error());
  for (const pid_t process : *processes) {
    auto moved = target.attach(process);
    if (!moved && moved.error().os_errno != ESRCH) return moved;
  }
  return {};
}

Status remove(const Host& host, const Spec& spec, bool recursive) {
  const auto group = open(host, spec);
  if (!group) return fail(group.error());
  if (group->path() == "/") {
    return fail(Error::make(errc::invalid_argument, "delete", "/", "the root cannot be removed"));
  }
  const auto names = group->children();
  if (!names) return fail(names.error());
  if (!names->empty() && !recursive) {
    return fail({errc::system, EBUSY, "delete", group->path(),
                 "there are cgroups below it (" + names->front() + ")", "remove them too with -r"});
  }
  const auto above = open(host, {spec.controllers, fs::parent(group->path())});
  if (!above) return fail(above.error());
  if (auto status = move_out(*group, *above, recursive); !status) return status;
  Removal how;
  if (recursive) how.below = Removal::Below::remove;
  const auto removed = group->remove(how);
  return removed ? Status{} : fail(removed.error());
}

}  // namespace

int run(int argc, char** argv) {
  bool recursive = false;
  std::vector<std::string> texts;
  Options options(argc, argv, "rhg:",
                  {{"recursive", no_argument, nullptr, 'r'}, {"help", no_argument, nullptr, 'h'}});
  for (int letter = options.next(); letter != -1; letter = options.next()) {
    if (letter == 'h') {
      fmt::print("{}", help);
      return done;
    }
    if (letter == 'r') {
      recursive = true;
    } else if (letter == 'g') {
      texts.emplace_back(optarg);
    } else {
      return refuse(name, "no such option: " + options.refused());
    }
  }
  for (std::string& text : options.rest()) texts.push_back(std::move(text));
  if (texts.empty()) return refuse(name, "CONTROLLERS:PATH is missing");
  const auto host = Host::detect();
  if (!host) return report(name, host.error());
  int status = done;
  for (const std::string& text : texts) {
    const auto spec = parse_spec(text);
    if (!spec) return refuse(name, "'" + text + "': write CONTROLLERS:PATH");
    const auto removed = remove(*host, *spec, recursive);
    if (!removed) status = report(name, removed.error());
  }
  return status;
}

}  // namespace cgctl::tool::dropin::cgdelete
