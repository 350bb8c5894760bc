// SPDX-FileCopyrightText: The cgctl authors
// SPDX-License-Identifier: MIT
#include <algorithm>

#include "cgctl/host.hpp"
#include "require.hpp"

namespace {

bool has(std::string_view text, std::string_view any) {
  return text.find_first_of(any) != std::string_view::npos;
}

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  const std::string_view text(reinterpret_cast<const char*>(data), size);
  const auto lines = static_cast<std::size_t>(std::count(text.begin(), text.end(), '\n')) + 1;

  const auto mounts = cgctl::parse_mountinfo(text);
  require(mounts.size() <= lines);
  for (const auto& mount : mounts) {
    require(mount.root.size() + mount.mount_point.size() <= text.size());
    for (const std::string& option : mount.options) require(!option.empty() && !has(option, ","));
  }

  const auto subsystems = cgctl::parse_proc_cgroups(text);
  require(subsystems.size() <= lines);
  for (const auto& row : subsystems)
    require(!row.name.empty() && row.name.front() != '#' && !has(row.name, " \t\n"));

  const auto memberships = cgctl::parse_membership(text);
  require(memberships.size() <= lines);
  for (const auto& row : memberships) {
    require(!has(row.path, "\n"));
    for (const std::string& controller : row.controllers)
      require(!controller.empty() && !has(controller, ",:\n"));
  }
  return 0;
}
