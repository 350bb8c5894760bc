// SPDX-FileCopyrightText: The cgctl authors
// SPDX-License-Identifier: MIT
#include "complete/complete.hpp"

#include <fcntl.h>
#include <sys/stat.h>

#include <algorithm>
#include <map>

#include "cgctl/group.hpp"
#include "cli/help.hpp"

namespace cgctl::tool::complete_command {
namespace {

using Words = std::vector<std::string>;

/// The words that a word may become, with descriptions.
using Candidates = std::map<std::string, std::string>;

bool starts_with(const std::string& text, const std::string& start) {
  return text.compare(0, start.size(), start) == 0;
}

std::string first_line(const std::string& text) { return text.substr(0, text.find('\n')); }

bool takes_value(const CLI::Option& option) { return option.get_items_expected_max() > 0; }

const CLI::App* find_command(const CLI::App& app, const std::string& name) {
  for (const CLI::App* command : app.get_subcommands({})) {
    if (command->get_name() == name) return command;
  }
  return nullptr;
}

const CLI::Option* find_option(const CLI::App& app, const std::string& name) {
  for (const CLI::Option* option : app.get_options()) {
    if (!option->get_positional() && option->check_name(name)) return option;
  }
  return nullptr;
}

void add_commands(const CLI::App& app, Candidates& out) {
  for (const CLI::App* command : app.get_subcommands({})) {
    out.emplace(command->get_name(), first_line(command->get_description()));
  }
}

void add_options(const CLI::App& app, Candidates& out) {
  for (const CLI::Option* option : app.get_options()) {
    for (const std::string& name : option->get_lnames()) {
      std::string text = option->get_description();
      std::replace(text.begin(), text.end(), '\n', ' ');
      out.emplace("--" + name, std::move(text));
    }
  }
}

bool is_plain(const std::string& name) {
  return std::none_of(name.begin(), name.end(),
                      [](char c) { return static_cast<unsigned char>(c) < ' '; });
}

/// Adds the cgroups in the directory that `word` names, in all hierarchies. A cgroup with others
/// below ends with a slash.
void add_cgroups(const Globals& globals, const std::string& word, Candidates& out) {
  const std::string directory = word.substr(0, word.rfind('/') + 1);
  const auto host = globals.host();
  if (!host) return;
  const auto group = host->open(directory.empty() ? "/" : directory);
  if (!group) return;
  for (const Group::Place& place : group->places()) {
    const auto names = child_directories(place.directory.get(), directory);
    if (!names) continue;
    for (const std::string& name : *names) {
      constexpr unsigned links_of_a_leaf = 2;
      struct ::stat found {};
      const bool has_others =
          ::fstatat(place.directory.get(), name.c_str(), &found, AT_SYMLINK_NOFOLLOW) == 0 &&
          found.st_nlink > links_of_a_leaf;
      if (is_plain(name)) out.emplace(directory + name + (has_others ? "/" : ""), "");
    }
  }
}

void add_controllers(const Globals& globals, Candidates& out) {
  const auto host = globals.host();
  if (!host) return;
  for (const Hierarchy& hierarchy : host->hierarchies()) {
    for (const std::string& name : hierarchy.controllers) out.emplace(name, "");
  }
}

/// Adds the values of an option or argument; none if it takes free text or a file.
void add_values(const Globals& globals, const CLI::Option& option, const std::string& word,
                Candidates& out) {
  const std::string kind =
      option.get_positional() ? option.get_name(true, false) : option.get_type_name();
  if (kind == "PATH") add_cgroups(globals, word, out);
  if (kind == "LIST") add_controllers(globals, out);
  if (kind == "SOURCE") out = {{"auto", ""}, {"file", ""}, {"nodes", ""}};
  if (kind == "1|2|3" || kind == "LEVEL") out = {{"1", ""}, {"2", ""}, {"3", ""}};
}

/// The words after the command, before the one to complete.
struct Arguments {
  const CLI::Option* waiting = nullptr;  ///< option whose value comes next
  std::size_t positionals = 0;
  bool is_over = false;  ///< true after "--", where another program's words follow
};

Arguments arguments_of(const CLI::App& app, const CLI::App& command, const Words& words,
                       std::size_t first) {
  Arguments found;
  for (std::size_t i = first; i + 1 < words.size(); ++i) {
    const std::string& word = words[i];
    if (found.waiting != nullptr) {
      found.waiting = nullptr;
    } else if (word == "--") {
      found.is_over = true;
    } else if (!starts_with(word, "-")) {
      ++found.positionals;
    } else {
      const CLI::Option* option = find_option(command, word);
      if (option == nullptr) option = find_option(app, word);
      if (option != nullptr && takes_value(*option)) found.waiting = option;
    }
  }
  return found;
}

void add_positionals(const Globals& globals, const CLI::App& command, std::size_t number,
                     const std::string& word, Candidates& out) {
  std::vector<const CLI::Option*> all;
  for (const CLI::Option* option : command.get_options()) {
    if (option->get_positional()) all.push_back(option);
  }
  if (all.empty()) return;
  const bool several = all.back()->get_items_expected_max() > 1;
  if (number >= all.size() && !several) return;
  add_values(globals, *all[std::min(number, all.size() - 1)], word, out);
}

void add_for_command(const CLI::App& app, const Globals& globals, const CLI::App& command,
                     const Words& words, std::size_t first, Candidates& out) {
  const std::string& word = words.back();
  const Arguments before = arguments_of(app, command, words, first);
  if (before.is_over) return;
  if (before.waiting != nullptr) return add_values(globals, *before.waiting, word, out);
  const std::size_t equals = word.find('=');
  if (starts_with(word, "-") && equals != std::string::npos) {
    const CLI::Option* const option = find_option(command, word.substr(0, equals));
    Candidates values;
    if (option != nullptr) add_values(globals, *option, word.substr(equals + 1), values);
    for (const auto& [value, text] : values) out.emplace(word.substr(0, equals + 1) + value, text);
    return;
  }
  if (starts_with(word, "-")) {
    add_options(command, out);
    add_options(app, out);
    return;
  }
  add_positionals(globals, command, before.positionals, word, out);
}

/// Returns all that the word's place allows.
Candidates allowed(const CLI::App& app, const Globals& globals, const Words& words,
                   std::size_t at) {
  Candidates all;
  if (at >= words.size()) return all;  // the value of an option
  if (at + 1 == words.size()) {
    if (starts_with(words[at], "-")) {
      add_options(app, all);
    } else {
      add_commands(app, all);
    }
    return all;
  }
  const CLI::App* const command = find_command(app, words[at]);
  if (words[at] == "help" && at + 2 == words.size()) add_commands(app, all);
  if (command != nullptr) add_for_command(app, globals, *command, words, at + 1, all);
  return all;
}

}  // namespace

Exit run_complete(CLI::App& app, const Globals& globals, std::vector<char*> line) {
  const int count = static_cast<int>(line.size());
  if (count < 2) return Exit::done;
  line.push_back(nullptr);
  const int at = command_position(count - 1, line.data());
  try {
    app.parse(std::min(at, count - 1), line.data());
  } catch (const CLI::Error&) {
    // The options before the command are not complete either.
  }
  const Words words(line.begin() + 1, line.end() - 1);
  std::string text;
  for (const auto& [word, description] :
       allowed(app, globals, words, static_cast<std::size_t>(at) - 1)) {
    if (!starts_with(word, words.back())) continue;
    text += word;
    if (!description.empty()) text.append("\t").append(description);
    text += '\n';
  }
  print({}, text);
  return Exit::done;
}

}  // namespace cgctl::tool::complete_command
