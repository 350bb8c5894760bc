// SPDX-FileCopyrightText: The cgctl authors
// SPDX-License-Identifier: MIT
#pragma once

#include <string>
#include <vector>

#include "cgctl/cpu.hpp"
#include "cgctl/memory.hpp"
#include "cgctl/settings.hpp"

/// Converts settings of either cgroup version for a host that has one of them.
namespace cgctl::detail {

/// The settings for one controller, in the host's version of it. Settings that the cpu and memory
/// controllers convert and order are changes; all others are written unchanged.
struct Wanted {
  cpu::Change cpu;
  memory::Change memory;
  std::vector<settings::Setting> files;
  /// Settings of the other version that went into `cpu` or `memory`: "cpu.shares 512".
  std::vector<std::string> converted;
  std::vector<std::string> notes;
};

/// Converts the settings to `version`. errc::unsupported, without a path, for a setting without a
/// counterpart, unless it has the default value of a new cgroup; errc::invalid_argument for an
/// invalid value.
Result<Wanted> wanted_of(const std::vector<settings::Setting>& settings, Version version);

/// Returns the name of a controller in that version: "io" for v1's "blkio".
std::string controller_name(const std::string& controller, Version version);

}  // namespace cgctl::detail
