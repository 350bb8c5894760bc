// SPDX-FileCopyrightText: The cgctl authors
// SPDX-License-Identifier: MIT
#include <fmt/format.h>
#include <fmt/ranges.h>
#include <signal.h>
#include <sys/signalfd.h>
#include <unistd.h>

#include <array>
#include <cerrno>
#include <cstdio>
#include <memory>

#include "cgctl/cgconfig.hpp"
#include "cgctl/tree.hpp"
#include "cgctl/unique_fd.hpp"
#include "cli/command.hpp"
#include "cli/globals.hpp"
#include "cli/input.hpp"
#include "cli/json.hpp"
#include "cli/setting_options.hpp"
#include "cli/signals.hpp"
#include "cli/systemd_note.hpp"
#include "command/tree_json.hpp"

namespace cgctl::tool::apply_command {
namespace {

using tree::Step;

struct Options {
  std::string file;
  bool plan_only = false;
  tree::Options how;
};

struct Input {
  tree::Tree tree;
  std::vector<std::string> notes;
};

Result<Input> read_tree(const std::string& file) {
  const bool standard_input = file == "-";
  const std::string shown = standard_input ? "standard input" : file;
  const auto text = standard_input ? read_standard_input({}) : read_input(file, {});
  if (!text) return fail(text.error());
  Input input;
  const std::size_t first = text->find_first_not_of(" \t\r\n");
  if (first != std::string::npos && (*text)[first] == '{') {
    auto tree = tree_from_json(*text, shown);
    if (!tree) return fail(tree.error());
    input.tree = std::move(*tree);
    return input;
  }
  auto configuration = cgconfig::parse(*text, shown);
  if (!configuration) return fail(configuration.error());
  input.tree = std::move(configuration->tree);
  for (const std::string& section : configuration->passed_over) {
    input.notes.push_back(fmt::format("{}, {}: skipped", shown, section));
  }
  return input;
}

std::string text_of(const Step& step) {
  const std::string kind = fmt::format("{:<8}", tree::to_string(step.kind));
  const std::string path = printable(step.path);
  if (step.kind == Step::Kind::create) {
    return fmt::format("{}{}  ({})\n", kind, path, fmt::join(step.controllers, ", "));
  }
  if (step.file.empty()) return fmt::format("{}{}\n", kind, path);
  if (step.kind == Step::Kind::leave) {
    return fmt::format("{}{}  {} {}\n", kind, path, step.file, step.after);
  }
  const std::string before = step.before.empty() ? "" : step.before + " ";
  const std::string kept = step.kept.empty() ? "" : fmt::format(" (the kernel set {})", step.kept);
  return fmt::format("{}{}  {} {}-> {}{}\n", kind, path, step.file, before, step.after, kept);
}

nlohmann::ordered_json json_of_step(const Step& step) {
  nlohmann::ordered_json one{{"step", tree::to_string(step.kind)}, {"path", step.path}};
  if (step.kind == Step::Kind::create) one["controllers"] = step.controllers;
  if (step.file.empty()) return one;
  one["file"] = step.file;
  one["before"] =
      step.before.empty() ? nlohmann::ordered_json(nullptr) : nlohmann::ordered_json(step.before);
  one["after"] = step.after;
  if (!step.kept.empty()) one["kept"] = step.kept;
  return one;
}

void show(const Globals& globals, const tree::Plan& plan, const std::vector<std::string>& notes,
          bool with_unchanged) {
  const bool json = globals.format == Format::json;
  const auto say = [&](const std::string& note) {
    if (json) {
      print(globals, "apply-note/1", Json{{"note", note}});
    } else {
      print(globals, fmt::format("note    {}\n", printable(note)));
    }
  };
  for (const std::string& note : notes) say(note);
  for (const std::string& note : plan.notes) say(note);
  std::string text;
  for (const Step& step : plan.steps) {
    if (step.kind == Step::Kind::leave && !with_unchanged) continue;
    if (json) {
      print(globals, "apply/1", json_of_step(step));
    } else {
      text += text_of(step);
    }
  }
  if (!json && plan.changes_nothing()) text += "nothing to do: everything matches the file\n";
  print(globals, text);
}

/// Warns of what systemd will undo in the cgroups that the plan makes or changes.
void warn_of_undoing(const Globals& globals, const Host& host, const tree::Plan& plan) {
  std::vector<std::string> made;
  std::vector<std::string> changed;
  for (const Step& step : plan.steps) {
    std::vector<std::string>& paths = step.kind == Step::Kind::change ? changed : made;
    if (step.kind != Step::Kind::change && step.kind != Step::Kind::create) continue;
    if (paths.empty() || paths.back() != step.path) paths.push_back(step.path);
  }
  warn_of_systemd(globals, host, changed, Doing::limits);
  if (changed.empty()) warn_of_systemd(globals, host, made, Doing::makes);
}

/// Reports an error in the file as a failure, not as wrong usage.
Exit report_input(const Error& error) {
  report(error);
  return Exit::failed;
}

/// Blocks the signals that ask a command to end; returns a descriptor to read them from.
Result<UniqueFd> take_over_signals() {
  const sigset_t signals = ending_signals();
  UniqueFd taken;
  if (::sigprocmask(SIG_BLOCK, &signals, nullptr) == 0) {
    taken.reset(::signalfd(-1, &signals, SFD_CLOEXEC | SFD_NONBLOCK));
  }
  if (!taken) return fail(Error::system("apply", "signals", errno));
  return taken;
}

/// Returns 128 plus the number of the signal read, as a shell does for a command ended by a signal.
Exit status_of_signal(int signals) {
  signalfd_siginfo info{};
  if (::read(signals, &info, sizeof info) != sizeof info) return Exit::failed;
  return static_cast<Exit>(128 + static_cast<int>(info.ssi_signo));
}

Exit run_apply(const Globals& globals, const Options& options) {
  const auto host = options.plan_only ? globals.host() : host_to_change(globals);
  if (!host) return report(host.error());
  const auto input = read_tree(options.file);
  if (!input) return report_input(input.error());
  if (options.plan_only) {
    const auto plan = tree::plan(*host, input->tree, options.how);
    if (!plan) return report_input(plan.error());
    show(globals, *plan, input->notes, true);
    warn_of_undoing(globals, *host, *plan);
    return Exit::done;
  }
  const auto signals = take_over_signals();
  if (!signals) return report(signals.error());
  tree::Options how = options.how;
  how.stop = signals->get();
  const auto plan = tree::apply(*host, input->tree, how);
  if (!plan && plan.error().kind == errc::cancelled) {
    report(plan.error());
    return status_of_signal(how.stop);
  }
  if (!plan) return report_input(plan.error());
  show(globals, *plan, input->notes, false);
  warn_of_undoing(globals, *host, *plan);
  return Exit::done;
}

}  // namespace

void add(CLI::App& app, const Globals& globals, Run& run) {
  const auto options = std::make_shared<Options>();
  CLI::App* const command = app.add_subcommand(
      "apply",
      "create or change cgroups to match a file, all or nothing\n\n"
      "Reads FILE (- is standard input) as cgconfig.conf or as the JSON of `cgctl snapshot`, "
      "creates missing cgroups and writes the settings that differ. If something fails, or at "
      "SIGINT, SIGTERM or SIGHUP, everything is restored. Cgroups and settings that the file does "
      "not name are left alone. Settings of the other cgroup version are converted, and each "
      "conversion is printed; a setting without a counterpart is an error before anything is "
      "changed.");
  command->add_option("FILE", options->file, "cgconfig.conf or JSON")->required()->type_name("");
  command->add_flag("--plan", options->plan_only,
                    "only print the steps: create, change, leave, remove");
  command->add_flag_callback(
      "--prune", [options] { options->how.others = tree::Options::Others::remove; },
      "remove cgroups that the file does not name, below\nthose that it names; none may have "
      "processes");
  add_setting(
      *command, "Options", "--conversion", "NAME", conversion_help,
      [options](const std::string& text) { options->how.conversion = parse_conversion(text); });
  command->footer(
      "Examples:\n"
      "  cgctl apply --plan /etc/cgconfig.conf\n"
      "  cgctl snapshot /batch | ssh node cgctl apply -");
  command->callback([&globals, &run, options] {
    run = [&globals, options] { return run_apply(globals, *options); };
  });
}

}  // namespace cgctl::tool::apply_command
