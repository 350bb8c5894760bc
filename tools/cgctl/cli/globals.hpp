// SPDX-FileCopyrightText: The cgctl authors
// SPDX-License-Identifier: MIT
#pragma once

#include "cli/command.hpp"

namespace cgctl::tool {

/// Detects the host for a command that changes something. Returns errc::outside if the cgroups are
/// the running kernel's but another root is not: figures of a captured tree would then decide what
/// is done here.
Result<Host> host_to_change(const Globals& globals);

}  // namespace cgctl::tool
