// SPDX-FileCopyrightText: The cgctl authors
// SPDX-License-Identifier: MIT
#pragma once

#include <cstdint>
#include <string>

#include "cgctl/host.hpp"
#include "cgctl/names.hpp"

namespace cgctl::tool {

/// Formats the memory and the CPU time of at most `most` cgroups as metrics, with the labels of
/// their names: those that use most memory. The root is left out. Files that cannot be read are
/// left out too, and the first is warned of. Empty if `most` is 0.
///
/// Reads no memory.stat, which is slow if there are many removed cgroups.
std::string cgroup_series(const Host& host, std::uint64_t most, names::Resolver& names);

}  // namespace cgctl::tool
