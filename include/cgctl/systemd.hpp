// SPDX-FileCopyrightText: The cgctl authors
// SPDX-License-Identifier: MIT
#pragma once

#include <string>
#include <string_view>
#include <vector>

#include "cgctl/error.hpp"
#include "cgctl/host.hpp"

/// systemd as the owner of cgroups: which cgroups it manages, and what it undoes there. The CMake
/// target is cgctl::systemd, the pkg-config name cgctl-systemd.
///
/// systemd documents that it alone writes to the cgroups of its units and to the root, and that it
/// leaves the cgroups below a unit with Delegate= alone
/// (https://systemd.io/CGROUP_DELEGATION). What it undoes elsewhere was seen with systemd 252.
namespace cgctl::systemd {

/// True if systemd is the first process of the machine with this root directory: it has
/// /run/systemd/system, as sd_booted(3) looks for.
bool is_booted(const std::string& machine_root = "/");

/// How systemd treats a cgroup.
enum class Treatment {
  leaves_alone,  ///< nothing is undone
  /// A unit's own cgroup, or the root: a reload of systemd's configuration resets the limits that
  /// systemd has properties for.
  resets_limits,
  /// v2: beside systemd's units: a reload may switch off the cgroup's controllers, and then its
  /// limits are gone. Not for a controller that the cgroup passes on to cgroups below it, since
  /// the kernel then refuses.
  may_switch_off,
  removes,  ///< below a unit that is not delegated: removed once that unit stops
};

/// What systemd does to a cgroup, and the unit whose cgroup is the nearest above it, or its own.
struct Fate {
  Treatment treatment = Treatment::leaves_alone;
  std::string unit;  ///< cgroup of that unit: "/system.slice", or "/"
};

/// Returns what systemd does to the cgroup `path` on a machine that it has booted; the cgroup need
/// not exist. A cgroup below a unit is delegated if systemd says so: it marks the unit's cgroup
/// with the extended attribute user.delegate (systemd 252) or trusted.delegate, which only root can
/// read. errc::outside for a path that leaves the hierarchies.
[[nodiscard]] Result<Fate> fate_of(const Host& host, std::string_view path);

/// Returns the cgroups beside the units in systemd's slices that systemd may remove or whose
/// controllers it may switch off: those whose fate is `may_switch_off` or `removes`.
[[nodiscard]] Result<std::vector<std::string>> endangered(const Host& host);

}  // namespace cgctl::systemd
