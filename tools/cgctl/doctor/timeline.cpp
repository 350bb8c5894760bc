// SPDX-FileCopyrightText: The cgctl authors
// SPDX-License-Identifier: MIT
#include "doctor/timeline.hpp"

#include <fmt/format.h>

#include <algorithm>
#include <string_view>

#include "cli/svg.hpp"
#include "cli/units.hpp"

namespace cgctl::tool::doctor_command {
namespace {

using holds::Cause;
using holds::Hold;
using holds::Time;
using holds::Wait;
using svg::add_box;
using svg::add_text;
using svg::in_xml;

// All lengths are pixels.
constexpr int picture_width = 1200;
constexpr int plot_left = 110;
constexpr int plot_width = 1070;
constexpr int plot_top = 92;
constexpr int row_height = 36;
constexpr int hold_top = 5;
constexpr int hold_height = 16;
constexpr int wait_top = 23;
constexpr int wait_height = 8;
constexpr int bars_height = 72;
constexpr int axis_height = 34;
constexpr int line_height = 18;
constexpr std::size_t most_rows = 32;
constexpr std::size_t most_lines = 20;
constexpr std::size_t longest_line = 150;

/// Colours that people with colour blindness can tell apart; none depends on
/// the background.
constexpr std::string_view style_sheet =
    "<style>"
    "text{font:13px "
    "system-ui,sans-serif;fill:#222}.t{font-size:18px;font-weight:600}"
    ".r{text-anchor:end}.m{text-anchor:middle}.d{fill:#666}"
    ".bg{fill:#fff}.row{fill:#888;fill-opacity:.1}.g{stroke:#ccc}"
    ".h{fill:#d55e00}.o{fill:#e69f00}.w{fill:#0072b2}.s{fill:#b0559d}"
    "@media(prefers-color-scheme:dark){text{fill:#e6e6e6}.d{fill:#a8a8a8}.bg{"
    "fill:#15171a}"
    ".g{stroke:#444}.w{fill:#56b4e9}.s{fill:#cc79a7}}"
    "</style>\n";

/// The time axis.
struct Axis {
  Time start{};
  Time length{};

  /// Returns the column of a time, 0 to plot_width - 1.
  [[nodiscard]] int column(Time time) const noexcept {
    const double share =
        static_cast<double>((time - start).count()) / static_cast<double>(length.count());
    return std::clamp(static_cast<int>(share * plot_width), 0, plot_width - 1);
  }
  [[nodiscard]] bool meets(Time from, Time to) const noexcept {
    return to >= start && from <= start + length;
  }
};

bool is_of_memory_statistics(Cause cause) noexcept {
  return cause == Cause::numa_stat || cause == Cause::memory_stat || cause == Cause::flush ||
         cause == Cause::memory_cgroup;
}

std::string hint_of(const Hold& hold, Time start) {
  const std::string_view file = hold.task.file.view();
  const std::string_view function = hold.task.function.view();
  return fmt::format("{} ({}): {} from {}, {}", hold.task.comm.view(), hold.task.pid,
                     human_time(hold.length()), human_time(hold.start - start),
                     !file.empty()      ? file
                     : function.empty() ? holds::to_string(hold.task.cause)
                                        : function);
}

std::string hint_of(const Wait& wait, Time start) {
  return fmt::format("{} waited {} from {}",
                     wait.kind == Wait::Kind::net_rx ? "received packets" : "a thread to wake up",
                     human_time(wait.length()), human_time(wait.start - start));
}

/// The marks of one kind in one row, merged where they are too close to tell
/// apart.
template <class Mark>
class Band {
 public:
  explicit Band(const Axis& axis) : axis_(axis), columns_(plot_width) {}

  void add(const Mark& mark) {
    if (!axis_.meets(mark.start, mark.end)) return;
    const int last = axis_.column(mark.end);
    for (int i = axis_.column(mark.start); i <= last; ++i) {
      Column& column = columns_[static_cast<std::size_t>(i)];
      if (column.longest == nullptr || column.longest->length() < mark.length()) {
        column.longest = &mark;
      }
    }
    ++columns_[static_cast<std::size_t>(last)].ends;
  }

  void draw(std::string& out, int y, int height, const char* kind) const {
    for (int i = 0; i < plot_width; ++i) {
      if (at(i).longest == nullptr) continue;
      const int first = i;
      // One free column between two marks is not enough to tell them apart.
      while (i + 1 < plot_width &&
             (at(i + 1).longest != nullptr || (i + 2 < plot_width && at(i + 2).longest != nullptr)))
        ++i;
      draw_run(out, first, i, y, height, kind);
    }
  }

 private:
  struct Column {
    const Mark* longest = nullptr;
    unsigned ends = 0;
  };

  [[nodiscard]] const Column& at(int i) const { return columns_[static_cast<std::size_t>(i)]; }

  void draw_run(std::string& out, int first, int last, int y, int height, const char* kind) const {
    const Mark* longest = at(first).longest;
    unsigned count = 0;
    for (int i = first; i <= last; ++i) {
      const Column& column = at(i);
      count += column.ends;
      const bool longer = column.longest != nullptr && column.longest->length() > longest->length();
      if (longer) longest = column.longest;
    }
    std::string hint = hint_of(*longest, axis_.start);
    if (count > 1) hint = fmt::format("{} times; the longest: {}", count, hint);
    constexpr int visible = 2;
    const int box = std::max(last - first + 1, visible);
    add_box(out, plot_left + std::min(first, plot_width - box), y, box, height, kind, hint);
  }

  const Axis& axis_;
  std::vector<Column> columns_;
};

/// A CPU, and how long it was held or made others wait.
struct Row {
  std::uint32_t cpu = 0;
  Time busy{};
};

void add_to(std::vector<Row>& rows, std::uint32_t cpu, Time length) {
  const auto at =
      std::find_if(rows.begin(), rows.end(), [cpu](const Row& row) { return row.cpu == cpu; });
  if (at == rows.end()) {
    rows.push_back({cpu, length});
  } else {
    at->busy += length;
  }
}

/// Returns the CPUs to draw, by number. `others` is the number of those that
/// are left out.
std::vector<Row> rows_of(const Timeline& timeline, std::size_t& others) {
  std::vector<Row> rows;
  for (const Hold& hold : timeline.holds) add_to(rows, hold.cpu, hold.length());
  for (const Wait& wait : timeline.waits) add_to(rows, wait.cpu, wait.length());
  std::sort(rows.begin(), rows.end(), [](const Row& a, const Row& b) { return a.busy > b.busy; });
  const std::size_t kept = std::min(rows.size(), most_rows);
  others = rows.size() - kept;
  rows.resize(kept);
  std::sort(rows.begin(), rows.end(), [](const Row& a, const Row& b) { return a.cpu < b.cpu; });
  return rows;
}

void draw_cpu(std::string& out, const Timeline& timeline, const Axis& axis, std::uint32_t cpu,
              int y) {
  add_box(out, plot_left, y, plot_width, row_height - 2, "row");
  add_text(out, plot_left - 10, y + row_height / 2 + 4, "r", fmt::format("CPU {}", cpu));
  Band<Hold> others(axis);
  Band<Hold> statistics(axis);
  Band<Wait> waits(axis);
  for (const Hold& hold : timeline.holds) {
    if (hold.cpu != cpu) continue;
    (is_of_memory_statistics(hold.task.cause) ? statistics : others).add(hold);
  }
  for (const Wait& wait : timeline.waits) {
    if (wait.cpu == cpu) waits.add(wait);
  }
  others.draw(out, y + hold_top, hold_height, "o");
  statistics.draw(out, y + hold_top, hold_height, "h");
  waits.draw(out, y + wait_top, wait_height, "w");
}

/// Returns the length of time that a bar stands for: a second, or more for a
/// long axis.
Time bar_length(Time length) {
  constexpr int most_bars = 240;
  const std::int64_t seconds = length / std::chrono::seconds(1) / most_bars + 1;
  return std::chrono::seconds(seconds);
}

void draw_bursts(std::string& out, const std::vector<peers::Burst>& bursts, const Axis& axis,
                 int y) {
  const Time each = bar_length(axis.length);
  std::vector<std::uint64_t> bars(static_cast<std::size_t>(axis.length / each + 1));
  for (const peers::Burst& burst : bursts) {
    const Time middle = burst.since + (burst.until - burst.since) / 2 - axis.start;
    const auto bar = static_cast<std::size_t>(std::max(middle, Time(0)) / each);
    bars[std::min(bar, bars.size() - 1)] += burst.segments;
  }
  const std::uint64_t most = *std::max_element(bars.begin(), bars.end());
  add_box(out, plot_left, y, plot_width, bars_height, "row");
  add_text(out, plot_left - 10, y + 20, "r", "sent again");
  add_text(out, plot_left - 10, y + 38, "r d", fmt::format("max {} in {}", most, human_time(each)));
  for (std::size_t i = 0; i < bars.size(); ++i) {
    if (bars[i] == 0) continue;
    const Time begin = axis.start + each * static_cast<std::int64_t>(i);
    const int x = axis.column(begin);
    const int height = std::max(static_cast<int>(static_cast<double>(bars[i]) * (bars_height - 6) /
                                                 static_cast<double>(most)),
                                2);
    add_box(out, plot_left + x, y + bars_height - height,
            std::max(axis.column(begin + each) - x - 1, 2), height, "s",
            fmt::format("{} segments sent again within {} from {}", bars[i], human_time(each),
                        human_time(begin - axis.start)));
  }
}

/// Returns the distance of the marks on the axis: 1, 2 or 5 times a power of
/// ten, so that there are at most twelve.
Time step_of(Time length) {
  constexpr int most_steps = 12;
  Time step = std::chrono::milliseconds(1);
  for (int i = 0; length / step >= most_steps; ++i) step = i % 3 == 1 ? step * 5 / 2 : step * 2;
  return step;
}

void draw_axis(std::string& out, const Axis& axis, int bottom) {
  const Time step = step_of(axis.length);
  for (Time at{}; at <= axis.length; at += step) {
    const int x = plot_left + axis.column(axis.start + at);
    out += fmt::format("<line x1=\"{0}\" y1=\"{1}\" x2=\"{0}\" y2=\"{2}\" class=\"g\"/>\n", x,
                       plot_top, bottom + 4);
    add_text(out, x, bottom + line_height, "m d", human_time(at));
  }
}

void draw_legend(std::string& out, bool with_bursts) {
  struct Entry {
    const char* kind;
    const char* text;
    int advance;
  };
  constexpr int y = 56;
  int x = plot_left;
  for (const Entry& entry : {Entry{"h", "CPU held for memory statistics", 240},
                             Entry{"o", "CPU held for other work in the kernel", 280},
                             Entry{"w", "packets or threads wait for the CPU", 270},
                             Entry{"s", "segments sent again", 0}}) {
    if (*entry.kind == 's' && !with_bursts) break;
    add_box(out, x, y, 12, 12, entry.kind);
    add_text(out, x + 18, y + 11, "", entry.text);
    x += entry.advance;
  }
}

/// Breaks the notes at spaces into lines of at most `longest_line` bytes.
std::vector<std::string> lines_of(const std::vector<std::string>& notes) {
  std::vector<std::string> lines;
  for (std::string_view note : notes) {
    while (note.size() > longest_line && lines.size() < most_lines) {
      const std::size_t space = note.rfind(' ', longest_line);
      const bool can_break = space != std::string_view::npos && space != 0;
      lines.emplace_back(note.substr(0, can_break ? space : longest_line));
      note.remove_prefix(can_break ? space + 1 : longest_line);
    }
    if (lines.size() < most_lines) lines.emplace_back(note);
  }
  return lines;
}

}  // namespace

std::string svg_of(const Timeline& timeline) {
  const Axis axis{timeline.start, std::max<Time>(timeline.end - timeline.start, Time(1'000'000))};
  std::vector<std::string> notes = timeline.notes;
  std::size_t left_out = 0;
  const std::vector<Row> rows = rows_of(timeline, left_out);
  if (rows.empty()) notes.insert(notes.begin(), "no CPU was held, and nothing waited for one");
  if (left_out != 0) {
    notes.insert(notes.begin(), fmt::format("{} more CPUs are left out", left_out));
  }
  const int bars_at = plot_top + static_cast<int>(rows.size()) * row_height;
  const int bottom = bars_at + (timeline.bursts ? bars_height : 0);
  const std::vector<std::string> lines = lines_of(notes);
  const int height = bottom + axis_height + static_cast<int>(lines.size()) * line_height + 8;
  std::string out = fmt::format(
      "<svg xmlns=\"http://www.w3.org/2000/svg\" "
      "viewBox=\"0 0 {0} {1}\" width=\"{0}\" "
      "height=\"{1}\" role=\"img\">\n",
      picture_width, height);
  out += "<title>" + in_xml(timeline.title) + "</title>\n";
  out += style_sheet;
  add_box(out, 0, 0, picture_width, height, "bg");
  add_text(out, plot_left, 34, "t", timeline.title);
  draw_legend(out, timeline.bursts.has_value());
  draw_axis(out, axis, bottom);
  for (std::size_t i = 0; i < rows.size(); ++i) {
    draw_cpu(out, timeline, axis, rows[i].cpu, plot_top + static_cast<int>(i) * row_height);
  }
  if (timeline.bursts) draw_bursts(out, *timeline.bursts, axis, bars_at);
  int y = bottom + axis_height + line_height / 2;
  for (const std::string& line : lines) {
    add_text(out, plot_left, y, "", line);
    y += line_height;
  }
  return out + "</svg>\n";
}

}  // namespace cgctl::tool::doctor_command
