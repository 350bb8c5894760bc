// SPDX-FileCopyrightText: The cgctl authors
// SPDX-License-Identifier: MIT
#include <fmt/format.h>

#include <algorithm>
#include <cerrno>
#include <chrono>
#include <cmath>
#include <memory>
#include <string>
#include <vector>

#include "cgctl/filesystem.hpp"
#include "cgctl/trend.hpp"
#include "cli/command.hpp"
#include "cli/json.hpp"
#include "history/points.hpp"
#include "mitigate/config.hpp"
#include "top/draw.hpp"
#include "top/screen.hpp"

namespace cgctl::tool::history_command {
namespace {

using trend::Point;

struct Options {
  Overrides overrides;
  std::chrono::nanoseconds since = std::chrono::hours(24);
  std::string svg;
};

/// The points of a time.
struct Shown {
  std::chrono::seconds from{};
  std::chrono::seconds to{};
  trend::Kept kept;
};

Result<Shown> collect(const Options& options) {
  const auto configuration = configure(options.overrides, Use::daemon);
  if (!configuration) return fail(configuration.error());
  Shown shown;
  shown.to = std::chrono::duration_cast<std::chrono::seconds>(
      std::chrono::system_clock::now().time_since_epoch());
  const auto since = std::min<std::chrono::seconds>(
      std::chrono::duration_cast<std::chrono::seconds>(options.since), trend::kept_for);
  shown.from = shown.to - since;
  auto kept = trend::read(configuration->state_dir, shown.to, since);
  if (!kept) {
    Error error = kept.error();
    if (error.os_errno == ENOENT) {
      error.hint = "cgctl mitigate --daemon keeps it; --state-dir names another directory";
    }
    if (error.os_errno == EACCES) error.hint = "run as root";
    return fail(error);
  }
  shown.kept = std::move(*kept);
  return shown;
}

/// Returns a sparkline, blank where there are no points.
template <class Figure>
std::string sparkline_of(const Shown& shown, Figure figure) {
  constexpr std::size_t width = top_command::History::size;
  const auto parts = coarser(shown.kept.points, shown.from, shown.to, width);
  top_command::History line;
  auto next = parts.begin();
  for (std::size_t i = 0; i < width; ++i) {
    const bool there = next != parts.end() && next->at <= part_of(shown.from, shown.to, i, width);
    line.add(there ? figure(*next) : NAN);
    if (there) ++next;
  }
  return top_command::sparkline(line, width, top_command::style_of_terminal());
}

/// Returns a row with the course of a figure and its least, last and highest value.
template <class Figure, class Text>
std::string course(const char* name, const Shown& shown, Figure figure, Text text) {
  const auto& points = shown.kept.points;
  double least = figure(points.front());
  double most = least;
  for (const Point& point : points) {
    least = std::min(least, figure(point));
    most = std::max(most, figure(point));
  }
  return labelled(name, fmt::format("{}  {} to {}, last {}", sparkline_of(shown, figure),
                                    text(least), text(most), text(figure(points.back()))));
}

std::string courses(const Shown& shown) {
  const auto number = [](double value) { return fmt::format("{:.0f}", value); };
  std::string text = course(
      "zombies", shown, [](const Point& point) { return double{1} * point.zombies; }, number);
  text += course(
      "live cgroups", shown, [](const Point& point) { return double{1} * point.live; }, number);
  text += course(
      "a read", shown,
      [](const Point& point) {
        return point.read_cost ? static_cast<double>(point.read_cost->count()) : 0;
      },
      [](double value) {
        return human_time(std::chrono::microseconds(static_cast<std::int64_t>(value)));
      });
  return text + course(
                    "new an hour", shown,
                    [](const Point& point) { return double{1} * point.new_per_hour; }, number);
}

std::string table_of(const Shown& shown) {
  constexpr std::size_t most_rows = 24;
  using Align = Table::Align;
  Table table({{"UTC"},
               {"ZOMBIES", Align::right},
               {"LIVE", Align::right},
               {"READ", Align::right},
               {"NEW/H", Align::right},
               {"ACTIONS", Align::right},
               {"USELESS", Align::right},
               {"FREED", Align::right},
               {"MOST BY"}});
  for (const Point& point : coarser(shown.kept.points, shown.from, shown.to, most_rows)) {
    table.add({utc(point.at), fmt::format("{}", point.zombies), fmt::format("{}", point.live),
               point.read_cost ? human_time(*point.read_cost) : "-",
               fmt::format("{}", point.new_per_hour), fmt::format("{}", point.actions),
               fmt::format("{}", point.useless), fmt::format("{}", point.freed),
               point.maker.empty()
                   ? "-"
                   : fmt::format("{} ({})", printable(point.maker), point.maker_zombies)});
  }
  return table.text();
}

std::string text_of(const Shown& shown) {
  const auto& points = shown.kept.points;
  if (points.empty()) {
    return labelled("history", fmt::format("empty since {} UTC", utc(shown.from)));
  }
  std::string text =
      labelled("history", fmt::format("{} to {} UTC, {}", utc(points.front().at),
                                      utc(points.back().at), counted(points.size(), "minute")));
  return text + courses(shown) + "\n" + table_of(shown);
}

Json json_of(const Shown& shown) {
  Json points = Json::array();
  for (const Point& point : shown.kept.points) {
    Json one = {{"at", point.at.count()},
                {"zombies", point.zombies},
                {"live", point.live},
                {"read_cost_ns", nullptr},
                {"new_per_hour", point.new_per_hour},
                {"actions", point.actions},
                {"useless", point.useless},
                {"zombies_freed", point.freed},
                {"maker", point.maker.empty() ? Json(nullptr) : Json(point.maker)},
                {"maker_zombies", point.maker_zombies}};
    if (point.read_cost) one["read_cost_ns"] = std::chrono::nanoseconds(*point.read_cost).count();
    points.push_back(std::move(one));
  }
  return {{"from", shown.from.count()},
          {"to", shown.to.count()},
          {"points", std::move(points)},
          {"damaged", shown.kept.damaged},
          {"future", shown.kept.future}};
}

void warn_of(const trend::Kept& kept) {
  if (kept.damaged != 0) {
    warn(fmt::format("{} of the history {} damaged and left out", counted(kept.damaged, "minute"),
                     kept.damaged == 1 ? "is" : "are"));
  }
  if (kept.future != 0) {
    warn(fmt::format("{} of the history {} later than now and left out: the clock went back",
                     counted(kept.future, "minute"), kept.future == 1 ? "is" : "are"));
  }
}

Exit run_history(const Globals& globals, const Options& options) {
  const auto shown = collect(options);
  if (!shown) return report(shown.error());
  warn_of(shown->kept);
  if (globals.format == Format::json) {
    print(globals, "history/1", json_of(*shown));
  } else {
    print(globals, text_of(*shown));
  }
  if (options.svg.empty()) return Exit::done;
  const auto status =
      fs::write_output(options.svg, svg_of(shown->kept.points, shown->from, shown->to,
                                           "Zombies of " + host_name() + ", times in UTC"));
  return status ? Exit::done : report(status.error());
}

}  // namespace

void add(CLI::App& app, const Globals& globals, Run& run) {
  const auto options = std::make_shared<Options>();
  CLI::App* const command = app.add_subcommand(
      "history",
      "show the zombies of the last days\n\n"
      "Shows what the daemon (cgctl mitigate --daemon) saw: zombies, live memory cgroups, the cost "
      "of a read of the root's memory.numa_stat, new zombies an hour, its actions, and who made "
      "the most zombies. The daemon keeps a point a minute for seven days, in the file trend of "
      "its state directory, which takes 968 KB.");
  add_time(*command, "--since", options->since, "how far back, 7d at most (default 1d)");
  command->add_option("--config", options->overrides.file, "configuration file of mitigate")
      ->type_name("FILE");
  command
      ->add_option("--state-dir", options->overrides.state_dir,
                   "directory of the daemon's files (default\n/var/lib/cgctl)")
      ->type_name("DIR");
  command->add_option("--svg", options->svg, "also write a picture")->type_name("FILE");
  command->footer(
      "Examples:\n"
      "  cgctl history\n"
      "  cgctl history --since 7d --svg week.svg\n"
      "  cgctl --json history --since 1h | jq '.points[-1].zombies'");
  command->callback([&globals, &run, options] {
    run = [&globals, options] { return run_history(globals, *options); };
  });
}

}  // namespace cgctl::tool::history_command
