// SPDX-FileCopyrightText: The cgctl authors
// SPDX-License-Identifier: MIT
#include "cli/systemd_note.hpp"

#include <fmt/format.h>

#include "cgctl/systemd.hpp"
#include "cli/names.hpp"

namespace cgctl::tool {
namespace {

using systemd::Treatment;

std::string name_of(const std::string& unit) { return unit.substr(unit.rfind('/') + 1); }

/// Returns the warning; empty if systemd undoes nothing.
std::string what_is_undone(const std::string& path, const systemd::Fate& fate, Doing doing) {
  const std::string unit = fate.unit == "/" ? "-.slice" : name_of(fate.unit);
  switch (fate.treatment) {
    case Treatment::resets_limits:
      if (doing == Doing::makes) break;
      return fmt::format(
          "note: systemd resets the limits of {} at its next daemon-reload: set them with "
          "`systemctl set-property {}`",
          path, unit);
    case Treatment::may_switch_off:
      return fmt::format(
          "note: systemd may switch off the controllers of {} at its next daemon-reload and so "
          "drop its limits: use a cgroup below a unit with Delegate=yes, which systemd leaves "
          "alone",
          path);
    case Treatment::may_remove:
      if (doing == Doing::runs) break;
      return fmt::format(
          "note: systemd may remove {} while it has no tasks, at a daemon-reload or when a unit "
          "starts: use a cgroup below a unit with Delegate=yes, which systemd leaves alone",
          path);
    case Treatment::removes:
      return fmt::format(
          "note: systemd removes {} when {} stops: use a cgroup below a unit with Delegate=yes, "
          "which systemd leaves alone",
          path, unit);
    case Treatment::leaves_alone:
      break;
  }
  return {};
}

}  // namespace

void warn_of_systemd(const Globals& globals, const Host& host,
                     const std::vector<std::string>& paths, Doing doing) {
  if (globals.quiet || paths.empty() || !systemd::is_booted(machine_root(globals))) return;
  std::string first;
  std::size_t others = 0;
  for (const std::string& path : paths) {
    const auto fate = systemd::fate_of(host, path);
    const std::string one = fate ? what_is_undone(path, *fate, doing) : std::string();
    if (one.empty()) continue;
    if (!first.empty()) ++others;
    if (first.empty()) first = one;
  }
  if (first.empty()) return;
  warn(others == 0 ? first : fmt::format("{} (and {} more)", first, others));
}

}  // namespace cgctl::tool
