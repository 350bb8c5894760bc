// SPDX-FileCopyrightText: The cgctl authors
// SPDX-License-Identifier: MIT
#pragma once

#include <sys/types.h>

#include <cstdint>
#include <optional>
#include <string>
#include <string_view>
#include <variant>
#include <vector>

#include "cgctl/cpu.hpp"
#include "cgctl/cpuset.hpp"
#include "cgctl/error.hpp"
#include "cgctl/host.hpp"
#include "cgctl/io.hpp"
#include "cgctl/memory.hpp"
#include "cgctl/pids.hpp"

/// systemd as the owner of cgroups: which cgroups it manages, what it undoes there, and how to get
/// cgroups from it. The CMake target is cgctl::systemd, the pkg-config name cgctl-systemd.
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
  /// v1: below systemd's units, but not below one that may stop: a cgroup without tasks, and
  /// without any below it, may be removed when the configuration is reloaded or a unit starts, from
  /// the hierarchies of controllers that the nearest unit above does not use.
  may_remove,
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
/// controllers it may switch off: those whose fate is `may_switch_off` or `removes`, and those
/// without tasks whose fate is `may_remove`.
[[nodiscard]] Result<std::vector<std::string>> endangered(const Host& host);

/// Limits for a unit; absent ones stay as they are.
struct Limits {
  cpu::Change cpu;
  memory::Change memory;
  std::optional<pids::Max> pids_max;
  cpuset::Change cpuset;
  std::vector<io::Limits> io;
};

/// A limit of one block device, per second; max_rate means none.
struct DeviceRate {
  std::string device;  ///< "/dev/vda"
  std::uint64_t rate = 0;
};
inline constexpr std::uint64_t max_rate = UINT64_MAX;

/// A property of a unit (org.freedesktop.systemd1(5), systemd.resource-control(5)).
struct Property {
  std::string name;  ///< in the D-Bus interface: "CPUQuotaPerSecUSec"
  /// A number, a set of CPUs or memory nodes (bit n of byte n/8), or limits of devices.
  std::variant<std::uint64_t, std::vector<std::uint8_t>, std::vector<DeviceRate>> value;
  /// As in a unit file and for systemd-run(1): "CPUQuota=50%"; one for each device.
  std::vector<std::string> assignments;
};

/// Limits as properties, and those that systemd has no property for.
struct Translation {
  std::vector<Property> properties;
  /// For a cgroup of the caller's own below the unit; with a limit that needs another one in the
  /// same cgroup (burst and quota, memory with and without swap), also that one. May be empty.
  Limits left;
  std::string left_names;  ///< those without a property, for messages: "burst, oom_group"
};

/// Translates limits for the cgroup version that the host has for memory and CPU. On v1 systemd
/// sets CPU quota and weight, the memory limit, tasks and I/O only. errc::unsupported for a limit
/// that no cgroup below the unit could set instead: a nice value, and CPUs or memory nodes on v1.
[[nodiscard]] Result<Translation> translate(const Host& host, const Limits& limits);

/// True if this build can speak to systemd (built with CGCTL_SYSTEMD); without it the functions
/// below fail with errc::unsupported. They load libsystemd.so.0 (sd-bus) when first called, and
/// fail with errc::unsupported if it is absent.
///
/// As root they speak to the system's systemd, otherwise to the user's own. They wait for the end
/// of systemd's job, at most 30 seconds; errc::timed_out then, errc::cancelled if the descriptor
/// `stop` (-1: none) becomes readable. Errors of systemd are errc::system with its message.
bool is_available() noexcept;

/// A unit that runs.
struct Unit {
  std::string name;    ///< "batch.scope"
  std::string cgroup;  ///< "/system.slice/batch.scope"
};

/// A transient scope with Delegate=yes.
struct Scope {
  std::string name;   ///< "batch.scope"
  std::string slice;  ///< "batch.slice"; empty: systemd's choice
  std::string description;
  std::vector<pid_t> processes;  ///< at least one; systemd moves them into the scope
  std::vector<Property> properties;
};

/// Starts a scope. It ends when its last process has ended, or when it is stopped.
[[nodiscard]] Result<Unit> start_scope(const Scope& scope, int stop = -1);

/// Starts the slice `name` ("batch.slice") with these properties; if it exists already, changes
/// its properties until the next boot.
[[nodiscard]] Result<Unit> start_slice(const std::string& name,
                                       const std::vector<Property>& properties, int stop = -1);

}  // namespace cgctl::systemd
