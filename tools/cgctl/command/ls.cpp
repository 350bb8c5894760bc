// SPDX-FileCopyrightText: The cgctl authors
// SPDX-License-Identifier: MIT
#include <fcntl.h>
#include <fmt/format.h>

#include <algorithm>
#include <cerrno>
#include <map>
#include <memory>
#include <optional>
#include <utility>

#include "cgctl/filesystem.hpp"
#include "cgctl/group.hpp"
#include "cli/command.hpp"
#include "cli/json.hpp"
#include "cli/label.hpp"
#include "cli/names.hpp"
#include "cli/tree_order.hpp"
#include "prune/empty.hpp"
#include "top/figures.hpp"
#include "top/view.hpp"

namespace cgctl::tool::ls_command {
namespace {

using top_command::Column;
using top_command::Line;
using top_command::Row;

/// A column of words; the columns of figures are those of top.
enum class Words { none, hierarchies, name, pod, unit };

constexpr std::pair<const char*, Words> words_by_name[] = {{"hierarchies", Words::hierarchies},
                                                           {"name", Words::name},
                                                           {"pod", Words::pod},
                                                           {"unit", Words::unit}};

struct Shown {
  Words words = Words::none;  ///< none: `figure`
  Column figure = Column::memory;
};

struct Options {
  std::string path = "/";
  bool recursive = false;
  bool processes = false;
  bool names = false;
  bool empty = false;
  std::vector<Shown> chosen;
  bool has_chosen = false;  ///< also true for "path", the column that is always there
  top_command::View view;
};

/// A cgroup that was found.
struct Found {
  std::vector<std::string> hierarchies;
  names::Names names;
};

using Groups = std::map<std::string, Found, TreeOrder>;

/// Returns the columns to show before the path.
std::vector<Shown> columns_of(const Options& options) {
  std::vector<Shown> columns;
  if (options.processes) {
    columns.push_back({Words::none, Column::processes});
    columns.push_back({Words::hierarchies});
  }
  if (options.names) columns.push_back({Words::name});
  if (options.empty && !options.has_chosen) columns.push_back({Words::none, Column::age});
  columns.insert(columns.end(), options.chosen.begin(), options.chosen.end());
  return columns;
}

/// Returns the figures to read, those to sort by included.
std::vector<Column> figures_of(const std::vector<Shown>& columns, const Options& options) {
  std::vector<Column> figures;
  for (const Shown& one : columns) {
    if (one.words == Words::none) figures.push_back(one.figure);
  }
  if (options.view.sort) figures.push_back(*options.view.sort);
  return figures;
}

bool wants_names(const std::vector<Shown>& columns) {
  return std::any_of(columns.begin(), columns.end(), [](const Shown& one) {
    return one.words != Words::none && one.words != Words::hierarchies;
  });
}

/// Finds the cgroups and reads what the options show of them.
class Listing {
 public:
  Listing(const Globals& globals, const Host& host, const Options& options)
      : globals_(globals), host_(host), options_(options), columns_(columns_of(options)) {}

  Status add(const Group::Place& place) {
    const std::string& path = options_.path;
    std::vector<std::string> below;
    auto status = list(place, fs::join(place.hierarchy->mount_point, path), below);
    // Paths come in order: those of the first hierarchy go to the end without comparing them.
    for (const std::string& one : below) {
      groups_.try_emplace(groups_.end(), fs::join(path, one))
          ->second.hierarchies.push_back(label(*place.hierarchy));
    }
    return status;
  }

  /// Leaves out cgroups with processes in them or below. Errors say where that is not known; such a
  /// cgroup is left out too.
  Status keep_empty(const Group& top, std::vector<Error>& errors) {
    auto subtrees = prune_command::look_at(top);
    if (!subtrees) return fail(subtrees.error());
    const auto whole = subtrees->find(top.path());
    if (whole != subtrees->end()) errors = whole->second.unread;
    for (auto group = groups_.begin(); group != groups_.end();) {
      const auto found = subtrees->find(group->first);
      const bool empty = found != subtrees->end() && !found->second.populated;
      group = empty ? std::next(group) : groups_.erase(group);
    }
    return {};
  }

  /// Reads the figures and names. Leaves out a cgroup that is removed meanwhile.
  void read(top_command::Unread& unread) {
    const std::vector<Column> figures = figures_of(columns_, options_);
    const bool names = wants_names(columns_);
    names::Resolver resolver = resolver_for(globals_);
    for (auto& [path, found] : groups_) {
      auto row = std::make_unique<Row>();
      row->path = path;
      if (!figures.empty()) {
        const auto group = host_.open(path);
        if (!group && group.error().kind == errc::vanished) continue;
        if (unread.has(group)) read_once(*group, *row, figures, unread);
      }
      if (names) found.names = resolver.names_of(path);
      rows_.push_back(std::move(row));
    }
    in_order_ = order();
  }

  void show() const {
    if (globals_.format == Format::text) print(globals_, text());
    if (globals_.format == Format::json) {
      for (const Line& line : in_order_) print(globals_, "ls/1", json_of(*line.row));
    }
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

  /// Returns the cgroups in the order of the options; by path, cgroups follow the one they are in.
  std::vector<Line> order() {
    const top_command::View& view = options_.view;
    std::vector<Line> lines;
    if (!view.sort && !view.tree) {
      for (const auto& row : rows_) lines.push_back({row.get(), 0, false, false});
      if (view.reverse) std::reverse(lines.begin(), lines.end());
      return lines;
    }
    std::sort(rows_.begin(), rows_.end(),
              [](const auto& a, const auto& b) { return a->path < b->path; });
    top_command::link_parents(rows_);
    return lines_of(rows_, view);
  }

  [[nodiscard]] std::string path_text(const Line& line) const {
    const Row* const above = line.row->parent;
    if (!options_.view.tree || above == nullptr) return printable(line.row->path);
    const std::size_t name = above->path == "/" ? 1 : above->path.size() + 1;
    return std::string(std::size_t{2} * line.depth, ' ') + printable(line.row->path.substr(name));
  }

  static std::string words_of(Words words, const Found& found) {
    switch (words) {
      case Words::hierarchies:
        return fmt::format("{}", fmt::join(found.hierarchies, " "));
      case Words::name:
        return names::text_of(found.names);
      case Words::pod:
        return pod_of(found.names);
      case Words::unit:
        return found.names.unit;
      case Words::none:
        break;
    }
    return {};
  }

  static std::string cell(const Shown& column, const Row& row, const Found& found) {
    if (column.words != Words::none) return printable(words_of(column.words, found));
    const double figure = value(row.values, column.figure);
    if (column.figure == Column::processes && std::isnan(figure)) return "?";
    return cell_of(column.figure, figure);
  }

  static Table::Column heading(const Shown& column) {
    switch (column.words) {
      case Words::hierarchies:
        return {"HIERARCHIES"};
      case Words::name:
        return {"NAME"};
      case Words::pod:
        return {"POD"};
      case Words::unit:
        return {"UNIT"};
      case Words::none:
        break;
    }
    return {text_of(column.figure).heading, Table::Align::right};
  }

  [[nodiscard]] std::string text() const {
    if (columns_.empty()) {
      std::string text;
      for (const Line& line : in_order_) text += path_text(line) + "\n";
      return text;
    }
    std::vector<Table::Column> headings;
    for (const Shown& column : columns_) headings.push_back(heading(column));
    headings.push_back({"PATH"});
    Table table(std::move(headings));
    for (const Line& line : in_order_) {
      std::vector<std::string> cells;
      for (const Shown& column : columns_) {
        cells.push_back(cell(column, *line.row, groups_.find(line.row->path)->second));
      }
      cells.push_back(path_text(line));
      table.add(std::move(cells));
    }
    return table.text();
  }

  [[nodiscard]] Json json_of(const Row& row) const {
    const Found& found = groups_.find(row.path)->second;
    Json one{{"path", row.path}, {"hierarchies", found.hierarchies}};
    for (const Shown& column : columns_) {
      if (column.words != Words::none) continue;
      one[text_of(column.figure).key] =
          top_command::json_of(column.figure, value(row.values, column.figure));
    }
    if (wants_names(columns_)) put_names(one, found.names);
    return one;
  }

  const Globals& globals_;
  const Host& host_;
  const Options& options_;
  std::vector<Shown> columns_;
  Groups groups_;
  top_command::Rows rows_;
  std::vector<Line> in_order_;
};

Exit run_ls(const Globals& globals, const Options& options) {
  const auto host = globals.host();
  if (!host) return report(host.error());
  const auto group = host->open(options.path);
  if (!group) return report(group.error());
  Listing listing(globals, *host, options);
  Exit exit = Exit::done;
  for (const Group::Place& place : group->places()) {
    if (const auto status = listing.add(place); !status) exit = report(status.error());
  }
  for (const Group::Unopened& one : group->unopened()) exit = report(one.error);
  std::vector<Error> unknown;
  if (options.empty) {
    if (const auto status = listing.keep_empty(*group, unknown); !status) {
      return report(status.error());
    }
  }
  top_command::Unread unread;
  listing.read(unread);
  listing.show();
  warn_of(unknown);
  if (unread.first()) exit = report(*unread.first());
  return unknown.empty() ? exit : Exit::failed;
}

/// Returns the column of figures with this name. Throws CLI::ValidationError.
Column figure_named(const char* option, const std::string& name) {
  const auto figure = top_command::column_named(name);
  if (!figure) {
    throw CLI::ValidationError(fmt::format("{} '{}': no column of ls", option, name));
  }
  if (text_of(*figure).difference) {
    throw CLI::ValidationError(fmt::format(
        "{} '{}': a rate, which takes two samples: use cgctl stat or cgctl top", option, name));
  }
  return *figure;
}

void take_columns(Options& options, const std::string& text) {
  options.has_chosen = true;
  options.chosen.clear();
  for (const std::string& name : CLI::detail::split(text, ',')) {
    if (name == "path") continue;
    const auto* const words = std::find_if(std::begin(words_by_name), std::end(words_by_name),
                                           [&](const auto& one) { return one.first == name; });
    if (words != std::end(words_by_name)) {
      options.chosen.push_back({words->second});
    } else {
      options.chosen.push_back({Words::none, figure_named("--columns", name)});
    }
  }
}

void take_sort(Options& options, const std::string& text) {
  options.view.sort.reset();
  if (text != "path") options.view.sort = figure_named("--sort", text);
}

/// Returns the names of the columns of figures, the rates left out.
std::string names_of_figures() {
  std::vector<Column> figures = {Column::processes, Column::age};
  for (const Column column : top_command::presets().front().columns) {
    if (!text_of(column).difference) figures.push_back(column);
  }
  return top_command::names_in_lines(figures);
}

}  // namespace

void add(CLI::App& app, const Globals& globals, Run& run) {
  const auto options = std::make_shared<Options>();
  options->view.sort.reset();
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
  const auto option = [&](const char* name, void (*take)(Options&, const std::string&),
                          const char* type, const char* description) {
    command
        ->add_option_function<std::string>(
            name, [options, take](const std::string& text) { take(*options, text); }, description)
        ->type_name(type);
  };
  option("-o,--columns", take_columns, "COLUMN,...", "also show these columns, before the path");
  option("-s,--sort", take_sort, "COLUMN",
         "largest figure of this column first, or by path\n(default)");
  command->add_flag("-r,--reverse", options->view.reverse, "reverse the order");
  command->add_flag("-t,--tree", options->view.tree, "show the whole tree below PATH, indented");
  command->add_flag("-e,--empty", options->empty,
                    "only cgroups without a process in them and in all\nbelow them; shows their "
                    "age, unless -o is given");
  command->footer(
      "Columns: hierarchies, name, pod, unit,\n  " + names_of_figures() +
      "\n\n"
      "The age is the time since a cgroup, or one directly below it, was made or removed.\n\n"
      "Examples:\n"
      "  cgctl ls -R /kubepods\n"
      "  cgctl ls -R -o memory,pod -s memory /kubepods    the largest first\n"
      "  cgctl ls -R --empty -s age /system.slice         the oldest empty ones first\n"
      "  cgctl --json ls -Rl | jq -r 'select(.processes == 0).path'   cgroups without processes");
  command->callback([&globals, &run, options] {
    options->recursive = options->recursive || options->view.tree;
    run = [&globals, options] { return run_ls(globals, *options); };
  });
}

}  // namespace cgctl::tool::ls_command
