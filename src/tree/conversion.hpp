// SPDX-FileCopyrightText: The cgctl authors
// SPDX-License-Identifier: MIT
#pragma once

#include <string>
#include <vector>

#include "cgctl/cpu.hpp"
#include "cgctl/memory.hpp"
#include "cgctl/settings.hpp"

/// Settings in the words of either version, for a host that has one of them.
namespace cgctl::detail {

/// What one controller is told, once the host's version of it is known. What the cpu and memory
/// controllers themselves convert and order is a change, all else is written as it stands.
struct Wanted {
  cpu::Change cpu;
  memory::Change memory;
  std::vector<settings::Setting> files;
  /// "cpu.shares 512": those of the other version that went into `cpu` or `memory`.
  std::vector<std::string> converted;
  std::vector<std::string> notes;
};

/// errc::unsupported, without a path, for a setting that `version` has no counterpart of, unless
/// it says what a new cgroup has anyway; errc::invalid_argument for a value that is none.
Result<Wanted> wanted_of(const std::vector<settings::Setting>& settings, Version version);

/// What that version calls a controller of the other: "io" is v1's "blkio".
std::string controller_name(const std::string& controller, Version version);

}  // namespace cgctl::detail
