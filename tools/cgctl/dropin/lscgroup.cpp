// SPDX-FileCopyrightText: The cgctl authors
// SPDX-License-Identifier: MIT
#include <fcntl.h>
#include <fmt/format.h>
#include <fmt/ranges.h>

#include "cgctl/filesystem.hpp"
#include "dropin.hpp"

namespace cgctl::tool::dropin::lscgroup {
namespace {

constexpr const char* name = "lscgroup";
constexpr const char* help =
    "usage: lscgroup [[-g] CONTROLLERS:PATH]...\n"
    "List cgroups.\n"
    "  -g CONTROLLERS:PATH  that one and those below it (the -g may be left out)\n"
    "  -h, --help           this text\n";

/// Those below `path`, each with "CONTROLLERS:" in front.
// NOLINTNEXTLINE(misc-no-recursion): as deep as the hierarchy is, one descriptor a level.
Status list(int directory, const std::string& prefix, const std::string& path) {
  const auto names = child_directories(directory, path);
  if (!names) return fail(names.error());
  for (const std::string& below : *names) {
    const std::string shown = fmt::format("{}/{}", path, below);
    fmt::print("{}{}\n", prefix, shown);
    const auto child = fs::open_beneath(directory, below, O_RDONLY | O_DIRECTORY, shown);
    if (!child) continue;
    if (auto status = list(child->get(), prefix, shown); !status) return status;
  }
  return {};
}

Status list(const Hierarchy& hierarchy, const std::string& path) {
  const auto clean = fs::clean_relative_path(path);
  if (!clean) return fail(clean.error());
  const std::string shown = *clean == "." ? "" : "/" + *clean;
  const auto directory = fs::open_beneath(hierarchy.directory.get(), *clean, O_RDONLY | O_DIRECTORY,
                                          hierarchy.mount_point + shown);
  if (!directory) return fail(directory.error());
  const std::string prefix = fmt::format("{}:", fmt::join(hierarchy.controllers, ","));
  fmt::print("{}{}/\n", prefix, shown);
  return list(directory->get(), prefix, shown);
}

Status list(const Host& host, const Spec& spec) {
  std::vector<const Hierarchy*> seen;
  for (const std::string& controller : controllers_of(host, spec)) {
    const auto hierarchy = host.require(controller);
    if (!hierarchy) return fail(hierarchy.error());
    bool known = false;
    for (const Hierarchy* const one : seen) known = known || one == *hierarchy;
    if (known) continue;
    seen.push_back(*hierarchy);
    if (auto status = list(**hierarchy, spec.path); !status) return status;
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
    if (!spec) return refuse(name, "'" + text + "': no CONTROLLERS:PATH");
    const auto listed = list(*host, *spec);
    if (!listed) status = report(name, listed.error());
  }
  return status;
}

}  // namespace cgctl::tool::dropin::lscgroup
