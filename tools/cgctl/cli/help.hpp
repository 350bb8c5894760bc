// SPDX-FileCopyrightText: The cgctl authors
// SPDX-License-Identifier: MIT
#pragma once

#include <CLI/CLI.hpp>
#include <functional>
#include <string>
#include <string_view>
#include <vector>

/// How the command line explains itself: help, and what is wrong with a line that cannot be
/// understood.
namespace cgctl::tool {

/// For a line without a command.
extern const char* const short_help;

/// Gives `app`, before anything is added to it, the form of help that its commands inherit.
void set_help_form(CLI::App& app);

/// The word that stands where a command's name does; empty where there is none, or an option before
/// it that concerns all commands (--help, or one that is not known).
std::string_view command_word(int argc, char** argv);

/// Turns `help`, `help COMMAND` and `version` into the options that mean the same.
void words_as_options(std::vector<char*>& words,
                      const std::function<bool(std::string_view)>& is_command);

/// Takes what stands behind the first "--" of `run` off the command line, untouched; returns the
/// number of words left. The parser would drop the "--".
int take_command(int argc, char** argv, std::vector<std::string>& command);

/// The text for --help and --version.
std::string answer(const CLI::App& app, const CLI::Success& asked_for);

/// "COMMAND WORD: what is wrong with it (what was meant, where help is)".
std::string usage_error(const CLI::App& app, const CLI::ParseError& error);

}  // namespace cgctl::tool
