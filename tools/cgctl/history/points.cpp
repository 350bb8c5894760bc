// SPDX-FileCopyrightText: The cgctl authors
// SPDX-License-Identifier: MIT
#include "history/points.hpp"

#include <fmt/chrono.h>
#include <fmt/format.h>

#include <algorithm>
#include <limits>
#include <optional>
#include <type_traits>

#include "cli/svg.hpp"
#include "cli/units.hpp"

namespace cgctl::tool {
namespace {

using std::chrono::microseconds;
using trend::Point;

// All lengths are pixels.
constexpr int picture_width = 1200;
constexpr int plot_left = 130;
constexpr int plot_width = 1050;
constexpr int plot_top = 60;
constexpr int panel_height = 110;
constexpr int panel_gap = 14;
constexpr int axis_height = 30;
constexpr int marks = 6;

constexpr std::string_view style_sheet =
    "<style>text{font:13px system-ui,sans-serif;fill:#222}.t{font-size:18px;font-weight:600}"
    ".r{text-anchor:end}.m{text-anchor:middle}.d{fill:#666}.bg{fill:#fff}"
    ".row{fill:#888;fill-opacity:.1}.v{fill:#0072b2}.a{fill:#009e73}.u{fill:#d55e00}"
    "@media(prefers-color-scheme:dark){text{fill:#e6e6e6}.d{fill:#a8a8a8}.bg{fill:#15171a}"
    ".v{fill:#56b4e9}}</style>\n";

std::uint32_t narrow(std::uint64_t value) {
  return static_cast<std::uint32_t>(
      std::min<std::uint64_t>(value, std::numeric_limits<std::uint32_t>::max()));
}

/// Adds a later point of the same part.
void add_to(Point& sum, const Point& point) {
  sum.zombies = std::max(sum.zombies, point.zombies);
  sum.live = std::max(sum.live, point.live);
  if (point.read_cost) {
    sum.read_cost = std::max(sum.read_cost.value_or(*point.read_cost), *point.read_cost);
  }
  sum.new_per_hour = std::max(sum.new_per_hour, point.new_per_hour);
  sum.freed = narrow(std::uint64_t{sum.freed} + point.freed);
  sum.actions = static_cast<std::uint16_t>(sum.actions + point.actions);
  sum.useless = static_cast<std::uint16_t>(sum.useless + point.useless);
  if (point.maker_zombies < sum.maker_zombies) return;
  sum.maker_zombies = point.maker_zombies;
  sum.maker = point.maker;
}

/// One figure of the picture.
struct Panel {
  const char* name;
  std::optional<double> (*figure)(const Point& point);
  std::string (*text)(double value);
};

std::string whole(double value) { return fmt::format("{:.0f}", value); }

constexpr Panel panels[] = {
    {"zombies", [](const Point& point) -> std::optional<double> { return point.zombies; }, whole},
    {"live cgroups", [](const Point& point) -> std::optional<double> { return point.live; }, whole},
    {"cost of a read",
     [](const Point& point) -> std::optional<double> {
       if (!point.read_cost) return std::nullopt;
       return static_cast<double>(point.read_cost->count());
     },
     [](double value) { return human_time(microseconds(static_cast<std::int64_t>(value))); }},
    {"new an hour", [](const Point& point) -> std::optional<double> { return point.new_per_hour; },
     whole},
};

/// The time axis, divided into the columns of the plot.
struct Axis {
  std::chrono::seconds from;
  std::chrono::seconds to;
  [[nodiscard]] int column(std::chrono::seconds at) const noexcept {
    const auto length = std::max<std::int64_t>((to - from).count(), 1);
    return static_cast<int>(
        std::clamp<std::int64_t>((at - from).count() * plot_width / length, 0, plot_width - 1));
  }
};

void draw_panel(std::string& out, const Panel& panel, const std::vector<Point>& points,
                const Axis& axis, int y) {
  svg::add_box(out, plot_left, y, plot_width, panel_height, "row");
  svg::add_text(out, plot_left - 10, y + 20, "r", panel.name);
  double most = 0;
  for (const Point& point : points) most = std::max(most, panel.figure(point).value_or(0));
  svg::add_text(out, plot_left - 10, y + 38, "r d", "max " + panel.text(most));
  for (const Point& point : points) {
    const auto value = panel.figure(point);
    if (!value) continue;
    const int height =
        most > 0 ? std::max(static_cast<int>(*value / most * (panel_height - 4)), 1) : 1;
    svg::add_box(out, plot_left + axis.column(point.at), y + panel_height - height, 2, height, "v",
                 fmt::format("{}: {}", utc(point.at), panel.text(*value)));
  }
}

/// Marks the actions above the first panel.
void draw_actions(std::string& out, const std::vector<Point>& points, const Axis& axis) {
  constexpr int width = 4;
  for (const Point& point : points) {
    if (point.actions == 0) continue;
    svg::add_box(out, plot_left + axis.column(point.at) - width / 2, plot_top - 10, width, 8,
                 point.useless == point.actions ? "u" : "a",
                 fmt::format("{}: actions {}, without effect {}, zombies freed {}", utc(point.at),
                             point.actions, point.useless, point.freed));
  }
  svg::add_text(out, plot_left - 10, plot_top - 3, "r d", "actions");
  svg::add_text(out, plot_left + plot_width, plot_top - 18, "r d",
                "green: freed zombies; orange: without effect");
}

/// Labels the time axis; the outer labels stay within the picture.
void draw_times(std::string& out, const Axis& axis, int y) {
  for (int i = 0; i <= marks; ++i) {
    const std::chrono::seconds at = axis.from + (axis.to - axis.from) * i / marks;
    const char* const kind = i == 0 ? "d" : i == marks ? "r d" : "m d";
    svg::add_text(out, plot_left + axis.column(at), y, kind, utc(at));
  }
}

}  // namespace

Point point_of(const mitigation::Report& report, const mitigation::History& history,
               const recorder::Ledger& ledger) {
  constexpr double hour = 3600;
  const mitigation::Observation& seen = report.outcome ? report.outcome->after : report.before;
  Point point;
  point.at = std::chrono::duration_cast<std::chrono::seconds>(report.looked.time_since_epoch());
  point.zombies = narrow(seen.zombies.low);
  point.live = narrow(seen.zombies.live);
  if (seen.read_cost) point.read_cost = std::chrono::duration_cast<microseconds>(*seen.read_cost);
  point.new_per_hour = narrow(static_cast<std::uint64_t>(history.growth * hour));
  if (report.outcome) {
    point.actions = 1;
    point.useless = report.outcome->effect == mitigation::Effect::ineffective ? 1 : 0;
    point.freed = narrow(mitigation::freed(report.outcome->actions));
  }
  for (const recorder::Maker& maker : ledger.makers) {
    if (maker.pattern.empty() || maker.least_dead() <= point.maker_zombies) continue;
    point.maker_zombies = narrow(maker.least_dead());
    point.maker = maker.pattern;
  }
  return point;
}

std::chrono::seconds part_of(std::chrono::seconds from, std::chrono::seconds to, std::size_t index,
                             std::size_t count) {
  return from + (to - from) * static_cast<std::int64_t>(index) / static_cast<std::int64_t>(count);
}

std::vector<Point> coarser(const std::vector<Point>& points, std::chrono::seconds from,
                           std::chrono::seconds to, std::size_t count) {
  const auto length = std::max<std::int64_t>((to - from).count(), 1);
  const auto parts = static_cast<std::int64_t>(count);
  std::vector<Point> found;
  std::int64_t last = -1;
  for (const Point& point : points) {
    const std::int64_t part =
        std::clamp<std::int64_t>((point.at - from).count() * parts / length, 0, parts - 1);
    if (part == last) {
      add_to(found.back(), point);
      continue;
    }
    last = part;
    found.push_back(point);
    found.back().at = part_of(from, to, static_cast<std::size_t>(part), count);
  }
  return found;
}

std::string utc(std::chrono::seconds at) {
  return fmt::format("{:%Y-%m-%d %H:%M}", fmt::gmtime(static_cast<std::time_t>(at.count())));
}

std::string svg_of(const std::vector<Point>& points, std::chrono::seconds from,
                   std::chrono::seconds to, const std::string& title) {
  const Axis axis{from, to};
  const std::vector<Point> columns = coarser(points, from, to, plot_width / 2);
  constexpr int bottom =
      plot_top + static_cast<int>(std::extent_v<decltype(panels)>) * (panel_height + panel_gap);
  std::string out = fmt::format(
      "<svg xmlns=\"http://www.w3.org/2000/svg\" viewBox=\"0 0 {0} {1}\" width=\"{0}\" "
      "height=\"{1}\" role=\"img\">\n<title>{2}</title>\n",
      picture_width, bottom + axis_height, svg::in_xml(title));
  out += style_sheet;
  svg::add_box(out, 0, 0, picture_width, bottom + axis_height, "bg");
  svg::add_text(out, plot_left, 34, "t", title);
  draw_actions(out, columns, axis);
  int y = plot_top;
  for (const Panel& panel : panels) {
    draw_panel(out, panel, columns, axis, y);
    y += panel_height + panel_gap;
  }
  draw_times(out, axis, bottom + axis_height / 2);
  return out + "</svg>\n";
}

}  // namespace cgctl::tool
