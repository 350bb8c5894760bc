// SPDX-FileCopyrightText: The cgctl authors
// SPDX-License-Identifier: MIT
#pragma once

#include <vector>

#include "cli/command.hpp"

namespace cgctl::tool::complete_command {

/// Prints the words that the last word of a line may become, one a line, each with a tab and a
/// description if it has one. Prints nothing where a file or another free text is expected. `line`
/// begins with the program's name; `app` has all commands, and sets `globals`.
Exit run_complete(CLI::App& app, const Globals& globals, std::vector<char*> line);

}  // namespace cgctl::tool::complete_command
