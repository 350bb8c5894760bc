// SPDX-FileCopyrightText: The cgctl authors
// SPDX-License-Identifier: MIT
#include <fcntl.h>
#include <fmt/format.h>

#include <map>
#include <memory>
#include <nlohmann/json.hpp>
#include <optional>
#include <set>

#include "cgctl/filesystem.hpp"
#include "cgctl/group.hpp"
#include "cgctl/parse.hpp"
#include "cli/command.hpp"
#include "cli/label.hpp"
#include "cli/names.hpp"
#include "cli/tree_order.hpp"

namespace cgctl::tool::ls_command {
namespace {

struct Options {
  std::string path = "/";
  bool recursive = false;
  bool processes = false;
  bool names = false;
};

using Processes = std::optional<std::set<std::uint64_t>>;

struct Found {
  std::vector<std::string> hierarchies;
  std::set<std::uint64_t> processes;  ///< union over all hierarchies
  bool processes_known = true;
};

/// Walks the hierarchies in turn. Leaves out a cgroup that is removed meanwhile.
class Listing {
 public:
  Listing(const Options& options, std::map<std::string, Found, TreeOrder>& out)
      : options_(options), out_(out) {}

  Status add(const Group::Place& place, const std::string& path) {
    std::vector<std::string> below;
    auto status = list(place, fs::join(place.hierarchy->mount_point, path), below);
    const int directory = place.directory.get();
    for (const std::string& one : below) {
      const auto gone = [&] { return !fs::open_beneath(directory, one, O_PATH, one); };
      Processes processes = options_.processes ? processes_in(place, one) : std::nullopt;
      if (options_.processes && !processes && gone()) continue;
      // Paths come in order: those of the first hierarchy go to the end without comparing them.
      Found& found = out_.try_emplace(out_.end(), fs::join(path, one))->second;
      found.hierarchies.push_back(label(*place.hierarchy));
      if (processes) found.processes.merge(*processes);
      if (options_.processes && !processes) found.processes_known = false;
    }
    return status;
  }

 private:
  Status list(const Group::Place& place, const std::string& shown,
              std::vector<std::string>& out) const {
    if (options_.recursive) return add_paths_below(place.directory.get(), shown, out);
    auto names = child_directories(place.directory.get(), shown);
    if (!names) return fail(names.error());
    out = std::move(*names);
    return {};
  }

  /// Returns nothing if the processes cannot be read: EOPNOTSUPP for a threaded cgroup of v2,
  /// EACCES for a cgroup of another user.
  static Processes processes_in(const Group::Place& place, const std::string& path) {
    const auto text = fs::read_beneath(place.directory.get(), fs::join(path, "cgroup.procs"), path,
                                       place.hierarchy->open_flags);
    if (!text) return std::nullopt;
    std::set<std::uint64_t> found;
    for (std::string_view rest = *text; !rest.empty();) {
      if (const auto pid = parse::whole_number(parse::line(rest))) found.insert(*pid);
    }
    return found;
  }

  const Options& options_;
  std::map<std::string, Found, TreeOrder>& out_;
};

std::string text_of(const std::map<std::string, Found, TreeOrder>& groups, const Options& options,
                    names::Resolver& resolver) {
  if (!options.processes && !options.names) {
    std::string text;
    for (const auto& [path, found] : groups) text += printable(path) + "\n";
    return text;
  }
  std::vector<Table::Column> columns;
  if (options.processes) columns = {{"PROCESSES", Table::Align::right}, {"HIERARCHIES"}};
  if (options.names) columns.push_back({"NAME"});
  columns.push_back({"PATH"});
  Table table(std::move(columns));
  for (const auto& [path, found] : groups) {
    std::vector<std::string> cells;
    if (options.processes) {
      cells = {found.processes_known ? std::to_string(found.processes.size()) : "?",
               fmt::format("{}", fmt::join(found.hierarchies, " "))};
    }
    if (options.names) cells.push_back(printable(names::text_of(resolver.names_of(path))));
    cells.push_back(printable(path));
    table.add(std::move(cells));
  }
  return table.text();
}

nlohmann::ordered_json json_of(const std::string& path, const Found& found, const Options& options,
                               names::Resolver& resolver) {
  nlohmann::ordered_json one{{"path", path}, {"hierarchies", found.hierarchies}};
  if (options.processes && found.processes_known) {
    one["processes"] = found.processes.size();
  } else if (options.processes) {
    one["processes"] = nullptr;
  }
  if (options.names) put_names(one, resolver.names_of(path));
  return one;
}

Exit run_ls(const Globals& globals, const Options& options) {
  const auto host = globals.host();
  if (!host) return report(host.error());
  const auto group = host->open(options.path);
  if (!group) return report(group.error());
  std::map<std::string, Found, TreeOrder> groups;
  Listing listing(options, groups);
  Exit exit = Exit::done;
  for (const Group::Place& place : group->places()) {
    if (const auto status = listing.add(place, options.path); !status)
      exit = report(status.error());
  }
  for (const Group::Unopened& one : group->unopened()) exit = report(one.error);
  names::Resolver resolver = resolver_for(globals);
  if (globals.format == Format::text) print(globals, text_of(groups, options, resolver));
  if (globals.format == Format::json) {
    for (const auto& [path, found] : groups)
      print(globals, "ls/1", json_of(path, found, options, resolver));
  }
  return exit;
}

}  // namespace

void add(CLI::App& app, const Globals& globals, Run& run) {
  const auto options = std::make_shared<Options>();
  CLI::App* const command = app.add_subcommand(
      "ls",
      "list cgroups\n\n"
      "Lists the cgroups directly below PATH, one path per line. A cgroup that exists in several "
      "hierarchies is listed once.");
  add_path(*command, options->path, "cgroup to list (default /)");
  command->add_flag("-R,--recursive", options->recursive, "list the whole tree below PATH");
  command->add_flag("-l,--long", options->processes,
                    "also show the number of processes, and the\nhierarchies that have the cgroup");
  command->add_flag("-n,--names", options->names,
                    "also show the names of pods, containers and units, where they are known");
  command->footer(
      "Examples:\n"
      "  cgctl ls -R /kubepods\n"
      "  cgctl --json ls -Rl | jq -r 'select(.processes == 0).path'   cgroups without processes");
  command->callback([&globals, &run, options] {
    run = [&globals, options] { return run_ls(globals, *options); };
  });
}

}  // namespace cgctl::tool::ls_command
