// SPDX-FileCopyrightText: The cgctl authors
// SPDX-License-Identifier: MIT
#pragma once

#include <CLI/CLI.hpp>
#include <functional>
#include <string>
#include <string_view>
#include <vector>

/// Help texts, and error messages for command lines that cannot be understood.
namespace cgctl::tool {

/// Help that is printed for a line without a command.
extern const char* const short_help;

/// Sets the form of help, which commands that are added to `app` later inherit.
void set_help_form(CLI::App& app);

/// Returns the index of the first word that is not an option; argc or more if there is none.
int command_position(int argc, char** argv);

/// Returns the word in the place of a command's name; empty if there is none, or if an option
/// before it concerns all commands (--help, or an unknown one).
std::string_view command_word(int argc, char** argv);

/// Replaces `help`, `help COMMAND` and `version` by the equivalent options.
void words_as_options(std::vector<char*>& words,
                      const std::function<bool(std::string_view)>& is_command);

/// Moves the words after the first "--" of `run` to `command`, unchanged; returns the number of
/// words left. The parser would drop the "--".
int take_command(int argc, char** argv, std::vector<std::string>& command);

/// Returns the text for --help and --version.
std::string answer(const CLI::App& app, const CLI::Success& asked_for);

/// Returns "COMMAND WORD: error (suggestion, where help is)".
std::string usage_error(const CLI::App& app, const CLI::ParseError& error);

}  // namespace cgctl::tool
