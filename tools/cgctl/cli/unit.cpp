// SPDX-FileCopyrightText: The cgctl authors
// SPDX-License-Identifier: MIT
#include "cli/unit.hpp"

#include <utility>

#include "cli/escape.hpp"
#include "cli/names.hpp"

namespace cgctl::tool {

void add_limits(CLI::App& command, WantedLimits& wanted) {
  add_cpu_options(command, wanted.cpu);
  add_memory_options(command, wanted.memory);
  add_pids_max(command, "--pids-max", wanted.pids_max);
  add_ids(command, "--cpus-allowed", "CPUs, such as 0-3,8; parent: those of the parent",
          wanted.cpuset.cpus);
  add_ids(command, "--mems-allowed", "memory nodes, such as 0; parent: those of the parent",
          wanted.cpuset.nodes);
  add_io_max(command, "--io-max", wanted.io_max);
}

Result<systemd::Translation> translate(const Host& host, const WantedLimits& wanted) {
  auto devices = find_devices(host, wanted.io_max);
  if (!devices) return fail(std::move(devices.error()));
  return systemd::translate(
      host, {wanted.cpu, wanted.memory, wanted.pids_max, wanted.cpuset, std::move(*devices)});
}

std::string unit_name(std::string name, std::string_view type) {
  const bool has_type =
      name.size() > type.size() && name.compare(name.size() - type.size(), type.size(), type) == 0;
  return has_type ? name : name.append(type);
}

std::string as_options(const std::vector<systemd::Property>& properties) {
  std::string text;
  for (const systemd::Property& property : properties) {
    for (const std::string& one : property.assignments) text += " -p " + quoted(one);
  }
  return text;
}

Status require_systemd(const Globals& globals, const std::string& unit,
                       const std::string& instead) {
  if (!systemd::is_booted(machine_root(globals))) {
    return fail(Error::make(errc::unsupported, "start", unit,
                            "systemd is not the first process of this machine",
                            "without systemd, cgctl makes cgroups itself: give a path"));
  }
  if (systemd::is_available()) return {};
  return fail(Error::make(errc::unsupported, "start", unit,
                          "this build of cgctl cannot speak to systemd", "run: " + instead));
}

}  // namespace cgctl::tool
