// SPDX-FileCopyrightText: The cgctl authors
// SPDX-License-Identifier: MIT
#include <fmt/format.h>

#include <algorithm>
#include <chrono>
#include <memory>

#include "cgctl/group.hpp"
#include "cli/command.hpp"
#include "cli/globals.hpp"
#include "cli/json.hpp"
#include "cli/names.hpp"
#include "prune/empty.hpp"
#include "prune/owners.hpp"

namespace cgctl::tool::prune_command {
namespace {

using std::chrono::nanoseconds;

struct Options {
  std::string path;
  bool empty = false;
  bool yes = false;
  nanoseconds older_than = std::chrono::hours(1);
};

/// A cgroup without processes in it or below, old enough, with all that are below.
struct Candidate {
  std::string path;
  std::uint64_t cgroups = 0;
  nanoseconds age{};
  std::string kept;  ///< why it stays; empty if it goes
};

nanoseconds age_of(const Subtree& one) {
  const auto now = std::chrono::system_clock::now().time_since_epoch();
  return std::max<nanoseconds>(now - std::chrono::seconds(one.newest), nanoseconds(0));
}

bool is_below(const std::string& path, const std::string& above) {
  return path.size() > above.size() && path.compare(0, above.size(), above) == 0 &&
         path[above.size()] == '/';
}

/// True if a cgroup below `one` has to stay.
bool holds_claimed(Subtrees::const_iterator one, const Subtrees& found, const Owners& owners) {
  const std::string& path = one->first;
  for (++one; one != found.end() && is_below(one->first, path); ++one) {
    if (owners.is_slice(one->first) || !owners.claim(one->first).empty()) return true;
  }
  return false;
}

/// Returns the uppermost cgroups below the first that have no process and are old enough.
std::vector<Candidate> candidates(const Subtrees& found, const Owners& owners,
                                  nanoseconds older_than) {
  std::vector<Candidate> all;
  for (auto one = std::next(found.begin()); one != found.end(); ++one) {
    const auto& [path, subtree] = *one;
    if (!all.empty() && is_below(path, all.back().path)) continue;
    const nanoseconds age = age_of(subtree);
    if (subtree.populated || age < older_than || owners.is_slice(path)) continue;
    std::string claim = owners.claim(path);
    if (claim.empty() && holds_claimed(one, found, owners)) continue;
    all.push_back({path, subtree.cgroups, age, std::move(claim)});
  }
  return all;
}

/// Looks again: between the plan and now a process may have come, or another cgroup may have taken
/// the place. Returns why the cgroup stays; empty if it still may go.
Result<std::string> still_claimed(const Group& group, const Owners& owners,
                                  nanoseconds older_than) {
  const auto found = look_at(group);
  if (!found) return fail(found.error());
  for (const auto& [path, subtree] : *found) {
    if (subtree.populated) return std::string("a process has come into it");
    if (age_of(subtree) < older_than) return std::string("it has changed");
    std::string claim = owners.claim(path);
    if (!claim.empty()) return claim;
  }
  return std::string();
}

/// The outcome of one candidate.
struct Outcome {
  bool removed = false;
  std::uint64_t bytes_left = 0;
};

Result<Outcome> remove(const Host& host, Candidate& one, const Owners& owners,
                       nanoseconds older_than) {
  if (!one.kept.empty()) return Outcome{};
  const auto group = host.open(one.path);
  if (!group) return fail(group.error());
  auto claim = still_claimed(*group, owners, older_than);
  if (!claim) return fail(claim.error());
  one.kept = std::move(*claim);
  if (!one.kept.empty()) return Outcome{};
  Removal how;
  how.below = Removal::Below::remove;
  how.pages = Removal::Pages::empty;
  how.deadline = std::chrono::seconds(1);
  const auto removed = group->remove(how);
  if (!removed) return fail(removed.error());
  return Outcome{true, removed->bytes_left};
}

Json json_of(const Candidate& one, const Outcome& outcome) {
  return {{"path", one.path},
          {"cgroups", one.cgroups},
          {"age_s", std::chrono::duration_cast<std::chrono::seconds>(one.age).count()},
          {"removed", outcome.removed},
          {"kept", one.kept.empty() ? Json(nullptr) : Json(one.kept)},
          {"left_bytes", outcome.removed ? Json(outcome.bytes_left) : Json(nullptr)}};
}

std::string text_of(const std::vector<Candidate>& all, const char* verb) {
  Table table({{"AGE", Table::Align::right}, {"CGROUPS", Table::Align::right}, {"PATH"}});
  std::uint64_t going = 0;
  std::uint64_t staying = 0;
  for (const Candidate& one : all) {
    (one.kept.empty() ? going : staying) += one.cgroups;
    const std::string why = one.kept.empty() ? "" : fmt::format("  kept: {}", one.kept);
    table.add({human_time(one.age), std::to_string(one.cgroups), printable(one.path) + why});
  }
  std::string text = all.empty() ? std::string() : table.text() + "\n";
  text += fmt::format("{} {}", counted(going, "empty cgroup"), verb);
  if (staying != 0) text += fmt::format(", {} kept", staying);
  return text + "\n";
}

Exit remove_all(const Globals& globals, const Host& host, std::vector<Candidate>& all,
                const Owners& owners, nanoseconds older_than) {
  Exit exit = Exit::done;
  for (Candidate& one : all) {
    const auto outcome = remove(host, one, owners, older_than);
    if (!outcome) {
      exit = report(outcome.error());
      one.kept = "it could not be removed";
    }
    if (globals.format == Format::json) {
      print(globals, "prune/1", json_of(one, outcome.value_or(Outcome{})));
    }
    if (outcome && outcome->bytes_left != 0) {
      warn(fmt::format("prune {}: {} could not be freed and may keep a zombie alive",
                       printable(one.path), human_bytes(outcome->bytes_left)));
    }
  }
  if (globals.format == Format::text) print(globals, text_of(all, "removed"));
  return exit;
}

void warn_of_unread(const Subtrees& found) {
  const Subtree& top = found.begin()->second;  // it has the errors of all below
  warn_of(top.unread);
}

Exit run_prune(const Globals& globals, const Options& options) {
  const auto host = options.yes ? host_to_change(globals) : globals.host();
  if (!host) return report(host.error());
  const auto group = host->open(options.path);
  if (!group) return report(group.error());
  const auto found = look_at(*group);
  if (!found) return report(found.error());
  if (found->empty())
    return report(Error::make(errc::vanished, "prune", options.path, "it is gone"));
  warn_of_unread(*found);
  const Owners owners(machine_root(globals));
  std::vector<Candidate> all = candidates(*found, owners, options.older_than);
  if (options.yes) return remove_all(globals, *host, all, owners, options.older_than);
  if (globals.format == Format::json) {
    for (const Candidate& one : all) print(globals, "prune/1", json_of(one, {}));
    return Exit::done;
  }
  std::string text = text_of(all, "would be removed");
  if (!all.empty()) text += "to remove them, add --yes\n";
  print(globals, text);
  return Exit::done;
}

}  // namespace

void add(CLI::App& app, const Globals& globals, Run& run) {
  const auto options = std::make_shared<Options>();
  CLI::App* const command = app.add_subcommand(
      "prune",
      "remove empty cgroups that were left behind (plan first)\n\n"
      "Lists the cgroups below PATH that have no process in them or below and did not change for "
      "the time given. With --yes looks again, frees their pages, so that none becomes a zombie, "
      "and removes them. Keeps PATH itself and the cgroups of loaded units and of the kubelet's "
      "pods.");
  add_path(*command, options->path, "cgroup below which to look")->required();
  command->add_flag("--empty", options->empty, "look for cgroups without processes")->required();
  add_time(*command, "--older-than", options->older_than, "time without a change (default 1h)");
  command->add_flag("--yes", options->yes, "remove them; without it only the plan is shown");
  command->footer(
      "Examples:\n"
      "  cgctl prune --empty --older-than 24h /system.slice\n"
      "  cgctl prune --empty --older-than 24h /system.slice --yes");
  command->callback([&globals, &run, options] {
    run = [&globals, options] { return run_prune(globals, *options); };
  });
}

}  // namespace cgctl::tool::prune_command
