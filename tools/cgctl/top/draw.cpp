// SPDX-FileCopyrightText: The cgctl authors
// SPDX-License-Identifier: MIT
#include "top/draw.hpp"

#include <fmt/format.h>

#include <algorithm>
#include <cmath>
#include <utility>

#include "cli/escape.hpp"

namespace cgctl::tool::top_command {
namespace {

constexpr std::size_t other_lines = 3;  // lines that are not cgroups: summary, headings, hints

constexpr const char* hints =
    "q quit  ? help  < > sort  r reverse  / filter  t tree  v columns  p pause  Enter detail";

constexpr const char* help[] = {
    "c m n       sort by CPU, memory, path",
    "< >         sort by the column to the left, to the right",
    "r           reverse the order",
    "/           filter: part of a path; Enter keeps it, Esc drops it",
    "v           next set of columns: all, cpu, memory, io, pressure",
    "t           tree, or one list",
    "Left Right  in the tree: fold, unfold (Space: either; - +: all)",
    "Up Down     move; PgUp, PgDn, Home, End; k, j, g, G",
    "Enter       one cgroup with its last minutes",
    "N           names of pods, containers and units, or paths",
    "p           pause, continue",
    "q           quit",
    "",
    "It only reads: no key changes a cgroup.",
};

constexpr unsigned byte_mask = 0xFF;

bool continues(char c) noexcept { return (static_cast<unsigned char>(c) & 0xC0U) == 0x80U; }

/// Decodes the character of valid UTF-8 at the start of `text`, and removes it.
char32_t take_character(std::string_view& text) noexcept {
  const auto lead = static_cast<unsigned char>(text.front());
  text.remove_prefix(1);
  char32_t code = lead;
  if (lead >= 0xC0U) code = lead & (lead >= 0xF0U ? 0x07U : lead >= 0xE0U ? 0x0FU : 0x1FU);
  while (!text.empty() && continues(text.front())) {
    code = (code << 6U) | (static_cast<unsigned char>(text.front()) & 0x3FU);
    text.remove_prefix(1);
  }
  return code;
}

struct Range {
  char32_t first;
  char32_t last;
};

template <std::size_t N>
bool is_in(const Range (&ranges)[N], char32_t code) noexcept {
  return std::any_of(std::begin(ranges), std::end(ranges),
                     [&](const Range& range) { return code >= range.first && code <= range.last; });
}

/// Combining marks, and characters that East Asian scripts and emoji show in two columns.
std::size_t columns_of(char32_t code) noexcept {
  constexpr char32_t first_special = 0x300;
  constexpr Range none[] = {{0x300, 0x36F}, {0x200B, 0x200F}, {0xFE00, 0xFE0F}};
  constexpr Range two[] = {{0x1100, 0x115F}, {0x2E80, 0xA4CF},   {0xAC00, 0xD7A3},
                           {0xF900, 0xFAFF}, {0xFE30, 0xFE6F},   {0xFF00, 0xFF60},
                           {0xFFE0, 0xFFE6}, {0x1F300, 0x1FAFF}, {0x20000, 0x3FFFD}};
  if (code < first_special) return 1;
  if (is_in(none, code)) return 0;
  return is_in(two, code) ? 2 : 1;
}

/// Returns as much of the beginning as fits `width` columns.
std::string_view head_of(std::string_view text, std::size_t width) noexcept {
  std::string_view rest = text;
  std::size_t used = 0;
  while (!rest.empty()) {
    std::string_view next = rest;
    used += columns_of(take_character(next));
    if (used > width) break;
    rest = next;
  }
  return text.substr(0, text.size() - rest.size());
}

/// Returns as much of the end as fits `width` columns.
std::string_view tail_of(std::string_view text, std::size_t width) noexcept {
  std::size_t over = width_of(text);
  while (over > width) over -= columns_of(take_character(text));
  return text;
}

std::string to_width(std::string text, std::size_t width) {
  text.resize(head_of(text, width).size());
  return text.append(width - std::min(width, width_of(text)), ' ');
}

std::string right(std::string text, std::size_t width) {
  return std::string(width - std::min(width, text.size()), ' ') + text;
}

/// Collects the lines of a screen, each as wide as the screen: to erase the rest of a line could
/// erase its last character where the line is full.
class Lines {
 public:
  Lines(Size size, const Style& style) : size_(size), style_(style) {}

  void add(std::string_view text, const char* look = "") {
    add_full(to_width(std::string(text), size_.columns), look);
  }
  /// Adds a line of the full width, which may have escape sequences.
  void add_full(const std::string& line, const char* look = "") {
    if (used_ == size_.lines) return;
    if (used_++ > 0) text_ += "\r\n";
    text_ += look;
    text_ += line;
    if (*look != '\0') text_ += "\x1b[0m";
  }
  /// Fills up to the line before the last.
  void fill() {
    while (used_ + 1 < size_.lines) add("");
  }
  [[nodiscard]] const Style& style() const { return style_; }
  [[nodiscard]] std::size_t width() const { return size_.columns; }
  [[nodiscard]] std::size_t left() const { return size_.lines - used_; }
  [[nodiscard]] std::string text() const { return "\x1b[H" + text_; }

 private:
  Size size_;
  const Style& style_;
  std::string text_;
  std::size_t used_ = 0;
};

constexpr const char* bold = "\x1b[1m";
constexpr const char* inverse = "\x1b[7m";

std::string sort_text(const View& view) {
  return fmt::format("by {}{}", view.sort ? text_of(*view.sort).name : "path",
                     view.reverse ? " reversed" : "");
}

std::string summary_text(const View& view, const Summary& summary) {
  std::string text = summary.time;
  if (view.paused) text += "  PAUSED";
  text += fmt::format("  {} cgroups  {}", summary.cgroups, sort_text(view));
  if (!view.filter.empty() && !view.typing) text += "  filter " + view.filter;
  if (summary.unread > 0) text += fmt::format("  {} not read", summary.unread);
  return text + fmt::format("  every {}  {}", summary.interval, summary.host);
}

std::string heading(const View& view, const std::vector<Column>& columns) {
  std::string text;
  for (const Column column : columns) {
    text += right(text_of(column).heading, text_of(column).width);
    text += view.sort == column ? (view.reverse ? '^' : 'v') : ' ';
  }
  return text + "CGROUP";
}

std::string painted(const std::string& cell, Alarm alarm) {
  if (alarm == Alarm::none) return cell;
  return (alarm == Alarm::critical ? "\x1b[31m" : "\x1b[33m") + cell + "\x1b[39m";
}

std::string path_text(const View& view, const Line& line, const Style& style) {
  const std::string& path = line.row->path;
  const bool named = view.names && line.row->name != nullptr && !line.row->name->empty();
  if (!view.tree) return safe(named ? *line.row->name : path, style);
  const char* const sign = line.has_children ? (line.folded ? "+ " : "- ") : "  ";
  const bool top = line.row->parent == nullptr;
  std::size_t from = 0;
  if (!top) from = line.row->parent->path.size() + (line.row->parent->path == "/" ? 0 : 1);
  constexpr unsigned deepest = 20;  // deeper lines are not moved further to the right
  return std::string(std::size_t{2} * std::min(line.depth, deepest), ' ') + sign +
         safe(named ? std::string_view(*line.row->name) : std::string_view(path).substr(from),
              style);
}

std::string row_text(const View& view, const Line& line, const std::vector<Column>& columns,
                     std::size_t width, const Style& style) {
  std::string text;
  std::size_t used = 0;
  for (const Column column : columns) {
    const double figure = value(line.row->values, column);
    const std::string cell = right(cell_of(column, figure), text_of(column).width);
    text += style.color ? painted(cell, alarm_of(column, line.row->values)) : cell;
    text += ' ';
    used += std::max<std::size_t>(cell.size(), text_of(column).width) + 1;
  }
  const std::size_t left = width - std::min(width, used);
  return text + to_width(shortened(path_text(view, line, style), left, style), left);
}

void add_table(Lines& out, const View& view, const std::vector<Line>& lines, std::size_t page) {
  const std::vector<Column> columns = fitting(view, out.width());
  out.add_full(to_width(heading(view, columns), out.width()), inverse);
  for (std::size_t i = view.first; i < lines.size() && i < view.first + page; ++i) {
    const bool cursor = i == view.cursor && view.chosen;
    const Style plain{out.style().color && !cursor, out.style().utf8};
    out.add_full(row_text(view, lines[i], columns, out.width(), plain), cursor ? inverse : "");
  }
  if (lines.empty()) out.add(view.filter.empty() ? "no cgroups" : "no cgroup matches the filter");
}

const Row* selected(const View& view, const std::vector<Line>& lines) {
  for (const Line& line : lines) {
    if (line.row->path == view.selected) return line.row;
  }
  return nullptr;
}

void add_title(Lines& out, const std::string& path) {
  std::string rest = safe(path, out.style());
  constexpr std::size_t most = 5;  // lines
  for (std::size_t i = 0; i < most && !rest.empty(); ++i) {
    const std::size_t size = std::max<std::size_t>(head_of(rest, out.width()).size(), 1);
    out.add(std::string_view(rest).substr(0, size), bold);
    rest.erase(0, size);
  }
}

std::string figure_text(Column column, const Values& values) {
  return fmt::format("{:<12}{:>9}", text_of(column).name, cell_of(column, value(values, column)));
}

void add_figures(Lines& out, const Row& row) {
  constexpr std::size_t width = 24;
  const std::size_t count = presets().front().columns.size();
  const std::size_t across = std::max<std::size_t>(out.width() / width, 1);
  const std::size_t down = (count + across - 1) / across;
  for (std::size_t line = 0; line < down; ++line) {
    std::string text;
    for (std::size_t i = line; i < count; i += down) {
      text += to_width(figure_text(static_cast<Column>(i), row.values), width);
    }
    out.add(text);
  }
}

void add_sparkline(Lines& out, const char* label, Column column, const History& history) {
  float most = 0;
  for (std::size_t i = 0; i < history.count(); ++i) most = std::max(most, history.at(i));
  out.add(fmt::format(
      "{:<8}{} max {}", label,
      sparkline(history, out.width() - std::min<std::size_t>(out.width(), 20), out.style()),
      cell_of(column, most)));
}

void add_detail(Lines& out, const View& view, const Row* row, const Summary& summary) {
  add_title(out, view.selected);
  if (row == nullptr) return out.add("This cgroup is gone.");
  const Past none;
  const Past& past = row->past != nullptr ? *row->past : none;
  add_sparkline(out, "cpu", Column::cpu, past.cpu);
  add_sparkline(out, "memory", Column::memory, past.memory);
  for (const std::string& note : summary.notes) out.add(safe(note, out.style()));
  add_figures(out, *row);
}

void add_last(Lines& out, const View& view) {
  out.fill();
  if (view.typing) return out.add("filter: " + safe(view.filter, out.style()) + "_");
  const bool above = view.help || view.detail;
  out.add(above ? "any key: back" : hints);
}

}  // namespace

std::size_t width_of(std::string_view text) noexcept {
  std::size_t width = 0;
  while (!text.empty()) width += columns_of(take_character(text));
  return width;
}

std::string safe(std::string_view text, const Style& style) {
  std::string clean = escaped(text);
  if (style.utf8) return clean;
  std::string ascii;
  for (const char c : clean) {
    if (static_cast<unsigned char>(c) < 0x80U) {
      ascii += c;
    } else {
      ascii += fmt::format("\\x{:02x}", static_cast<unsigned>(c) & byte_mask);
    }
  }
  return ascii;
}

std::string shortened(const std::string& text, std::size_t width, const Style& style) {
  if (width_of(text) <= width) return text;
  const std::string_view gap = style.utf8 ? "\u2026" : "...";
  const std::size_t gap_width = width_of(gap);
  if (width <= gap_width) return std::string(tail_of(text, width));
  const std::string_view head = head_of(text, (width - gap_width) / 3);
  const std::string_view tail = tail_of(text, width - gap_width - width_of(head));
  return std::string(head).append(gap).append(tail);
}

std::vector<Column> fitting(const View& view, std::size_t width) {
  constexpr std::size_t least = 12;  // that the path keeps
  constexpr std::size_t most = 60;
  const std::size_t path = std::min(std::max(least, width * 2 / 5), most);
  const std::size_t room = width - std::min(width, path);
  const auto needs = [](Column column) { return text_of(column).width + std::size_t{1}; };
  std::vector<Column> columns;
  std::size_t used = 0;
  for (const Column column : view.columns) {
    if (used + needs(column) > room) break;
    columns.push_back(column);
    used += needs(column);
  }
  if (!view.sort || std::find(columns.begin(), columns.end(), *view.sort) != columns.end()) {
    return columns;
  }
  while (!columns.empty() && used + needs(*view.sort) > room) {
    used -= needs(columns.back());
    columns.pop_back();
  }
  columns.push_back(*view.sort);
  return columns;
}

std::string sparkline(const History& history, std::size_t width, const Style& style) {
  static constexpr const char* bars[] = {" ",      "\u2581", "\u2582", "\u2583", "\u2584",
                                         "\u2585", "\u2586", "\u2587", "\u2588"};
  static constexpr const char* plain[] = {" ", ".", ":", "-", "=", "+", "*", "#", "@"};
  constexpr float highest = 8;
  float most = 0;
  for (std::size_t i = 0; i < history.count(); ++i) most = std::max(most, history.at(i));
  std::string text;
  for (std::size_t i = history.count() - std::min(width, history.count()); i < history.count();
       ++i) {
    const float point = history.at(i);
    const float level = most > 0 && point > 0 ? std::ceil(point / most * highest) : 0;
    text += (style.utf8 ? bars : plain)[static_cast<std::size_t>(level)];
  }
  return text;
}

std::size_t page_of(Size size) noexcept { return size.lines - std::min(size.lines, other_lines); }

std::string frame(const View& view, const std::vector<Line>& lines, const Summary& summary,
                  Size size, const Style& style) {
  Lines out(size, style);
  out.add(safe(summary_text(view, summary), style), bold);
  if (view.help) {
    for (const char* const line : help) {
      if (out.left() > 1) out.add(line);
    }
  } else if (view.detail) {
    add_detail(out, view, selected(view, lines), summary);
  } else {
    add_table(out, view, lines, page_of(size));
  }
  add_last(out, view);
  return out.text();
}

std::string table_frame(const View& view, const std::vector<Line>& lines, const Around& around,
                        Size size, const Style& style) {
  Lines out(size, style);
  out.add(safe(around.title, style), bold);
  add_table(out, view, lines, page_of(size));
  out.fill();
  out.add(safe(around.last, style));
  return out.text();
}

}  // namespace cgctl::tool::top_command
