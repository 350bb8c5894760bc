// SPDX-FileCopyrightText: The cgctl authors
// SPDX-License-Identifier: MIT
#include <fmt/format.h>

#include <algorithm>

#include "cgctl/settings.hpp"
#include "cgctl/tree.hpp"
#include "dropin.hpp"

namespace cgctl::tool::dropin::cgset {
namespace {

constexpr const char* name = "cgset";
constexpr const char* help =
    "usage: cgset -r FILE=VALUE... PATH...\n"
    "   or: cgset --copy-from PATH PATH...\n"
    "Set values of cgroups. For each cgroup all values are set or none, except for files whose "
    "old\n"
    "value cannot be restored.\n"
    "  -r, --variable FILE=VALUE  set this value, such as cpu.shares=512\n"
    "  --copy-from PATH           copy the settings of that cgroup\n"
    "  -h, --help                 print this help\n";

constexpr int copy_from = 256;

/// Returns all settings of a cgroup that can be read and written.
Result<tree::Cgroup> all_settings(const Host& host, const std::string& path) {
  const auto group = host.open(path);
  if (!group) return fail(group.error());
  return tree::settings_of(*group);
}

Status copy(const Host& host, tree::Cgroup settings, const std::string& path) {
  const auto group = host.open(path);
  if (!group) return fail(group.error());
  settings.path = group->path();
  // Controllers that do not have the target cgroup are skipped.
  const auto lacks = [&](const tree::Section& section) {
    return !group->place(section.controller);
  };
  auto& sections = settings.sections;
  sections.erase(std::remove_if(sections.begin(), sections.end(), lacks), sections.end());
  const auto applied = tree::apply(host, {std::move(settings)});
  return applied ? Status{} : fail(applied.error());
}

Status set(const Host& host, const std::vector<settings::Setting>& wanted,
           const std::string& path) {
  const auto group = host.open(path);
  if (!group) return fail(group.error());
  // One transaction, all or none, ends with each file whose old value cannot be restored.
  const auto end = wanted.end();
  for (auto from = wanted.begin(); from != end;) {
    const auto last = std::find_if(from, end, [&](const settings::Setting& one) {
      return !settings::can_be_restored(*group, one);
    });
    const auto to = last == end ? end : last + 1;
    const auto written = settings::apply(*group, {from, to});
    if (!written) return fail(written.error());
    from = to;
  }
  return {};
}

}  // namespace

int run(int argc, char** argv) {
  std::vector<settings::Setting> wanted;
  std::string source;
  Options options(argc, argv, "r:h",
                  {{"rule", required_argument, nullptr, 'r'},
                   {"variable", required_argument, nullptr, 'r'},
                   {"help", no_argument, nullptr, 'h'},
                   {"copy-from", required_argument, nullptr, copy_from}});
  for (int letter = options.next(); letter != -1; letter = options.next()) {
    if (letter == 'h') {
      fmt::print("{}", help);
      return done;
    }
    if (letter == copy_from) {
      source = optarg;
    } else if (letter == 'r') {
      const std::string text = optarg;
      const std::size_t equals = text.find('=');
      if (equals == 0 || equals == std::string::npos) {
        return refuse(name, fmt::format("-r '{}': write FILE=VALUE", text));
      }
      wanted.push_back({text.substr(0, equals), text.substr(equals + 1)});
    } else {
      return refuse(name, "no such option: " + options.refused());
    }
  }
  if (wanted.empty() == source.empty()) {
    return refuse(name,
                  wanted.empty() ? "give -r or --copy-from" : "give -r or --copy-from, not both");
  }
  const auto paths = options.rest();
  if (paths.empty()) return refuse(name, "the path of a cgroup is missing");
  const auto host = Host::detect();
  if (!host) return report(name, host.error());
  tree::Cgroup copied;
  if (!source.empty()) {
    auto settings = all_settings(*host, source);
    if (!settings) return report(name, settings.error());
    copied = std::move(*settings);
  }
  int status = done;
  for (const std::string& path : paths) {
    const auto result = source.empty() ? set(*host, wanted, path) : copy(*host, copied, path);
    if (!result) status = report(name, result.error());
  }
  return status;
}

}  // namespace cgctl::tool::dropin::cgset
