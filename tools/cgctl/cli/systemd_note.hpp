// SPDX-FileCopyrightText: The cgctl authors
// SPDX-License-Identifier: MIT
#pragma once

#include <string>
#include <vector>

#include "cli/command.hpp"

namespace cgctl::tool {

/// Tells a command that makes cgroups from one that sets limits and one that also runs a program.
enum class Doing { makes, limits, runs };

/// On a machine that systemd booted, warns in one line of what systemd will undo in these cgroups;
/// the first that is concerned is named. Does nothing with --quiet.
void warn_of_systemd(const Globals& globals, const Host& host,
                     const std::vector<std::string>& paths, Doing doing);

}  // namespace cgctl::tool
