// SPDX-FileCopyrightText: The cgctl authors
// SPDX-License-Identifier: MIT
#include "cli/help.hpp"

#include <fmt/format.h>

#include <algorithm>
#include <array>
#include <functional>
#include <memory>
#include <numeric>
#include <string_view>
#include <utility>
#include <vector>

#include "cli/terminal.hpp"

namespace cgctl::tool {
namespace {

/// Returns the columns of the terminal on standard output, within limits; 80 without a terminal.
std::size_t screen_width() {
  constexpr std::size_t usual = 80;
  constexpr std::size_t narrowest = 50;
  constexpr std::size_t widest = 120;
  return std::clamp(terminal_columns().value_or(usual), narrowest, widest);
}

/// Breaks lines of `text` that are longer than `width` at spaces.
std::string wrapped(std::string_view text, std::size_t width) {
  std::string out;
  std::size_t column = 0;
  while (!text.empty()) {
    const std::size_t end = text.find_first_of(" \n");
    const std::string_view word = text.substr(0, end);
    const bool newline = end != std::string_view::npos && text[end] == '\n';
    text.remove_prefix(end == std::string_view::npos ? text.size() : end + 1);
    if (column != 0 && column + 1 + word.size() > width) {
      out += '\n';
      column = 0;
    }
    if (column != 0) out += ' ';
    out += word;
    column += word.size() + (column != 0 ? 1 : 0);
    if (!newline) continue;
    out += '\n';
    column = 0;
  }
  return out + "\n";
}

class HelpForm : public CLI::Formatter {
 public:
  HelpForm() {
    column_width(28);
    label("SUBCOMMAND", "COMMAND");
    label("Positionals", "Arguments");
  }
  std::string make_description(const CLI::App* app) const override {
    const CLI::App* const parent = app->get_parent();
    const std::string title =
        parent == nullptr ? "" : parent->get_name() + " " + app->get_name() + " - ";
    return wrapped(title + app->get_description(), screen_width() - 2);
  }
  std::string make_usage(const CLI::App* app, std::string name) const override {
    const bool commands = !app->get_subcommands({}).empty();
    if (commands) return fmt::format("\nUsage: {} [OPTIONS] COMMAND\n", name);
    if (app->get_name() == "mitigate") {
      return fmt::format("\nUsage: {} --once|--daemon|--print-config|--check-config [OPTIONS]\n",
                         name);
    }
    const std::string usage = CLI::Formatter::make_usage(app, std::move(name));
    if (app->get_name() != "run") return "\n" + usage;
    return "\n" + usage.substr(0, usage.find('\n')) + " -- COMMAND [ARG]...\n";
  }
  std::string make_subcommand(const CLI::App* command) const override {
    const std::string text = command->get_description();
    return fmt::format("  {:<14}{}\n", command->get_name(), text.substr(0, text.find('\n')));
  }
  /// Wraps a description again unless the screen has the 80 columns for which it is written.
  std::string make_option_desc(const CLI::Option* option) const override {
    std::string text = CLI::Formatter::make_option_desc(option);
    constexpr std::size_t written_for = 80;
    if (screen_width() == written_for) return text;
    std::replace(text.begin(), text.end(), '\n', ' ');
    text = wrapped(text, screen_width() - get_column_width() - 2);
    text.pop_back();
    return text;
  }
  /// The base class ends a group of options with an empty line and begins the next with another.
  std::string make_help(const CLI::App* app, std::string name,
                        CLI::AppFormatMode mode) const override {
    std::string text = CLI::Formatter::make_help(app, std::move(name), mode);
    constexpr std::string_view two_empty_lines = "\n\n\n";
    for (std::size_t at = text.find(two_empty_lines); at != std::string::npos;
         at = text.find(two_empty_lines, at)) {
      text.erase(at, 1);
    }
    return text;
  }
  std::string make_option_opts(const CLI::Option* option) const override {
    return option->get_type_name().empty() ? "" : " " + option->get_type_name();
  }
};

/// Counts letters that were omitted, added, replaced or swapped with their neighbour.
std::size_t distance(std::string_view a, std::string_view b) {
  std::vector<std::size_t> before;
  std::vector<std::size_t> last;
  std::vector<std::size_t> row(b.size() + 1);
  std::iota(row.begin(), row.end(), std::size_t{0});
  for (std::size_t i = 1; i <= a.size(); ++i) {
    before = std::exchange(last, row);
    row[0] = i;
    for (std::size_t j = 1; j <= b.size(); ++j) {
      const bool same = a[i - 1] == b[j - 1];
      row[j] = std::min({last[j - 1] + (same ? 0 : 1), last[j] + 1, row[j - 1] + 1});
      const bool swapped = i > 1 && j > 1 && a[i - 1] == b[j - 2] && a[i - 2] == b[j - 1];
      if (swapped) row[j] = std::min(row[j], before[j - 2] + 1);
    }
  }
  return row.back();
}

/// Returns the known word that `word` probably means; empty if none is near.
std::string nearest(const std::string& word, const std::vector<std::string>& known) {
  std::string best;
  std::size_t least = std::max<std::size_t>(word.size() / 3, 1) + 1;
  for (const std::string& candidate : known) {
    const bool begun = word.size() >= 3 && candidate.compare(0, word.size(), word) == 0;
    const std::size_t away = begun ? 1 : distance(word, candidate);
    if (away >= least) continue;
    least = away;
    best = candidate;
  }
  return best;
}

/// Words of other tools, and the cgctl command that does the same.
constexpr std::array<std::pair<std::string_view, const char*>, 12> words_of_others = {{
    {"list", "ls"},
    {"rm", "delete"},
    {"rmdir", "delete"},
    {"remove", "delete"},
    {"mkdir", "create"},
    {"add", "create"},
    {"exec", "run"},
    {"mv", "move"},
    {"attach", "move"},
    {"psi", "pressure"},
    {"top", "stat --watch 1"},
    {"kill", "delete --kill"},
}};

std::string command_meant_by(const std::string& word, const std::vector<std::string>& known) {
  const auto* const found = std::find_if(words_of_others.begin(), words_of_others.end(),
                                         [&](const auto& one) { return one.first == word; });
  return found != words_of_others.end() ? found->second : nearest(word, known);
}

std::vector<std::string> command_names(const CLI::App& app) {
  std::vector<std::string> names;
  for (const CLI::App* command : app.get_subcommands({})) names.push_back(command->get_name());
  return names;
}

void add_option_names(const CLI::App& app, std::vector<std::string>& names) {
  for (const CLI::Option* option : app.get_options()) {
    for (const std::string& name : option->get_lnames()) names.push_back("--" + name);
  }
}

std::string unexpected(const CLI::App& app, const CLI::App* command, const std::string& word) {
  const bool option = word.size() > 1 && word.front() == '-';
  std::vector<std::string> known;
  std::string what = "unexpected argument";
  if (option) {
    what = "unknown option";
    add_option_names(app, known);
    if (command != nullptr) add_option_names(*command, known);
  } else if (command == nullptr) {
    what = "unknown command";
    known = command_names(app);
  }
  const bool is_command = !option && command == nullptr;
  const std::string meant =
      is_command ? command_meant_by(word, known) : nearest(word.substr(0, word.find('=')), known);
  return fmt::format("{}: {} ({}", word.empty() ? "''" : word, what,
                     meant.empty() ? "" : "did you mean " + meant + "? ");
}

/// Returns the option that takes a directory if `word` is one, with or without its value; else
/// null.
const char* root_option(std::string_view word) {
  for (const char* const name : {"--cgroup-root", "--proc-root", "--sys-root", "--host-root"}) {
    if (word.substr(0, word.find('=')) == name) return name;
  }
  return nullptr;
}

}  // namespace

const char* const short_help =
    "Usage: cgctl [OPTIONS] COMMAND\n"
    "\n"
    "  cgctl doctor                     what is wrong on this host, and what to do\n"
    "  cgctl zombies                    removed memory cgroups that the kernel still holds\n"
    "  cgctl mitigate --once --dry-run  what mitigate would do about them\n"
    "  cgctl run --cpus 0.5 -- make     run a command with half a CPU\n"
    "\n"
    "All commands and options: cgctl --help\n";

void set_help_form(CLI::App& app) {
  app.formatter(std::make_shared<HelpForm>());
  app.require_subcommand(0, 1);
  app.fallthrough();
  app.option_defaults()->multi_option_policy(CLI::MultiOptionPolicy::TakeLast);
  app.get_help_ptr()->description("print this help and exit");
}

int command_position(int argc, char** argv) {
  int i = 1;
  while (i < argc && argv[i][0] == '-' && std::string_view(argv[i]) != "--") {
    const char* const root = root_option(argv[i]);
    i += root != nullptr && std::string_view(argv[i]) == root ? 2 : 1;
  }
  return i;
}

std::string_view command_word(int argc, char** argv) {
  const int at = command_position(argc, argv);
  const bool plain = std::all_of(argv + 1, argv + std::min(at, argc), [](std::string_view word) {
    return word.substr(0, 1) != "-" || word == "-q" || word == "--quiet" || word == "--json" ||
           root_option(word) != nullptr;
  });
  return plain && at < argc ? argv[at] : std::string_view();
}

void words_as_options(std::vector<char*>& words,
                      const std::function<bool(std::string_view)>& is_command) {
  static std::string help = "--help";
  static std::string version = "--version";
  const auto at =
      static_cast<std::size_t>(command_position(static_cast<int>(words.size()), words.data()));
  if (at >= words.size()) return;
  const std::string_view word = words[at];
  if (word == "version") words[at] = version.data();
  if (word != "help") return;
  if (at + 1 == words.size()) {
    words[at] = help.data();
    return;
  }
  words.erase(words.begin() + static_cast<std::ptrdiff_t>(at));
  if (is_command(words[at]))
    words.insert(words.begin() + static_cast<std::ptrdiff_t>(at) + 1, help.data());
}

int take_command(int argc, char** argv, std::vector<std::string>& command) {
  int i = command_position(argc, argv);
  if (i >= argc || std::string_view(argv[i]) != "run") return argc;
  while (i < argc && std::string_view(argv[i]) != "--") ++i;
  for (int word = i + 1; word < argc; ++word) command.emplace_back(argv[word]);
  return i;
}

std::string answer(const CLI::App& app, const CLI::Success& asked_for) {
  if (asked_for.get_name() == "CallForVersion") {
    return std::string(asked_for.what()) + "\n";
  }
  return app.help();
}

std::string usage_error(const CLI::App& app, const CLI::ParseError& error) {
  const auto commands = app.get_subcommands();
  const CLI::App* const command = commands.empty() ? nullptr : commands.front();
  const std::string name = command == nullptr ? "" : command->get_name() + " ";
  const std::string help = fmt::format("see cgctl {}--help)", name);
  // A misspelt option also makes the intended option missing: naming the wrong word helps more.
  const std::vector<std::string> unknown = app.remaining(true);
  if (!unknown.empty()) return name + unexpected(app, command, unknown.front()) + help;
  std::string what = error.what();
  // A missing value is the only mismatch left, because the last of several values counts.
  const bool no_value = error.get_name() == "ArgumentMismatch";
  if (no_value) what = what.substr(0, what.find(':')) + ": the value is missing";
  return fmt::format("{}{} ({}", name, what, help);
}

}  // namespace cgctl::tool
