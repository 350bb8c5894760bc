// SPDX-FileCopyrightText: The cgctl authors
// SPDX-License-Identifier: MIT
#pragma once

#include "cli/command.hpp"

namespace cgctl::tool {

/// Detects the host for a command that changes something. errc::outside where the cgroups are the
/// running kernel's and what the other roots show is not: a captured tree would be acted on here.
Result<Host> host_to_change(const Globals& globals);

}  // namespace cgctl::tool
