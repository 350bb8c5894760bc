// SPDX-FileCopyrightText: The cgctl authors
// SPDX-License-Identifier: MIT
#include <fcntl.h>
#include <fmt/format.h>
#include <fmt/ranges.h>

#include <cerrno>

#include "cgctl/filesystem.hpp"
#include "cli/command.hpp"
#include "dropin.hpp"

namespace cgctl::tool::dropin::lscgroup {
namespace {

constexpr const char* name = "lscgroup";
constexpr const char* help =
    "usage: lscgroup [[-g] CONTROLLERS:PATH]...\n"
    "List cgroups.\n"
    "  -g CONTROLLERS:PATH  list that cgroup and those below it (-g may be omitted)\n"
    "  -h, --help           print this help\n";

Status list(const Host& host, const Hierarchy& hierarchy, const std::string& path) {
  const auto clean = host.relative_path(path);
  if (!clean) return fail(clean.error());
  const std::string shown = *clean == "." ? "" : "/" + *clean;
  const auto directory = fs::open_beneath(hierarchy.directory.get(), *clean, O_RDONLY | O_DIRECTORY,
                                          hierarchy.mount_point + shown);
  if (!directory) return fail(directory.error());
  const std::string prefix = fmt::format("{}:", fmt::join(hierarchy.controllers, ","));
  tool::write(stdout, fmt::format("{}{}/\n", prefix, shown));
  std::vector<std::string> below;
  auto status = add_paths_below(directory->get(), hierarchy.mount_point + shown, below);
  for (const std::string& one : below) {
    tool::write(stdout, fmt::format("{}{}{}\n", prefix, shown, one));
  }
  return status;
}

Status list(const Host& host, const Spec& spec) {
  std::vector<const Hierarchy*> seen;
  const auto controllers = controllers_of(host, spec);
  if (!controllers) return fail(controllers.error());
  for (const std::string& controller : *controllers) {
    const auto hierarchy = host.require(controller);
    if (!hierarchy) return fail(hierarchy.error());
    bool known = false;
    for (const Hierarchy* const one : seen) known = known || one == *hierarchy;
    if (known) continue;
    seen.push_back(*hierarchy);
    if (auto status = list(host, **hierarchy, spec.path); !status) return status;
  }
  return {};
}

}  // namespace

int run(int argc, char** argv) {
  std::vector<std::string> texts;
  Options options(argc, argv, "hg:", {{"help", no_argument, nullptr, 'h'}});
  for (int letter = options.next(); letter != -1; letter = options.next()) {
    if (letter == 'h') {
      fmt::print("{}", help);
      return done;
    }
    if (letter != 'g') return refuse(name, "no such option: " + options.refused());
    texts.emplace_back(optarg);
  }
  for (std::string& text : options.rest()) texts.push_back(std::move(text));
  if (texts.empty()) texts.emplace_back("*:/");
  const auto host = Host::detect();
  if (!host) return report(name, host.error());
  int status = done;
  for (const std::string& text : texts) {
    const auto spec = parse_spec(text);
    if (!spec) return refuse(name, "'" + text + "': write CONTROLLERS:PATH");
    const auto listed = list(*host, *spec);
    if (!listed) status = report(name, listed.error());
  }
  return status;
}

}  // namespace cgctl::tool::dropin::lscgroup
