// SPDX-FileCopyrightText: The cgctl authors
// SPDX-License-Identifier: MIT
#pragma once

#include <string>
#include <vector>

#include "cgctl/systemd.hpp"
#include "cli/command.hpp"
#include "cli/limits.hpp"

/// Units of systemd, for the commands that start some.
namespace cgctl::tool {

/// Limits of all controllers, as they were given.
struct WantedLimits {
  cpu::Change cpu;
  memory::Change memory;
  std::optional<pids::Max> pids_max;
  cpuset::Change cpuset;
  std::vector<DeviceLimits> io_max;

  [[nodiscard]] bool empty() const noexcept {
    return cpu.empty() && memory.empty() && !pids_max && cpuset.empty() && io_max.empty();
  }
};

/// Adds the options of all these limits.
void add_limits(CLI::App& command, WantedLimits& wanted);

/// Looks up the devices, and translates the limits into properties of a unit.
Result<systemd::Translation> translate(const Host& host, const WantedLimits& wanted);

/// Returns the name with the suffix of its type, such as ".slice", if it has none.
std::string unit_name(std::string name, std::string_view type);

/// Returns "-p CPUQuota=50% -p MemoryMax=1048576" for systemd-run(1).
std::string as_options(const std::vector<systemd::Property>& properties);

/// Fails if systemd is not the first process, or if this build cannot speak to systemd: `instead`
/// is then the command line that does the same.
Status require_systemd(const Globals& globals, const std::string& unit, const std::string& instead);

}  // namespace cgctl::tool
