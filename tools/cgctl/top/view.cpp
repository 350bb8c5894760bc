// SPDX-FileCopyrightText: The cgctl authors
// SPDX-License-Identifier: MIT
#include "top/view.hpp"

#include <algorithm>
#include <cmath>
#include <string_view>
#include <utility>

namespace cgctl::tool::top_command {
namespace {

char lower(char c) { return c >= 'A' && c <= 'Z' ? static_cast<char>(c - 'A' + 'a') : c; }

bool contains(std::string_view text, std::string_view wanted) {
  return std::search(text.begin(), text.end(), wanted.begin(), wanted.end(),
                     [](char a, char b) { return lower(a) == lower(b); }) != text.end();
}

class Order {
 public:
  explicit Order(const View& view) : sort_(view.sort), reverse_(view.reverse) {}

  bool operator()(const Row* a, const Row* b) const {
    if (sort_) {
      const double x = value(a->values, *sort_);
      const double y = value(b->values, *sort_);
      if (std::isnan(x) != std::isnan(y)) return std::isnan(y);
      if (x > y || x < y) return (x > y) != reverse_;
    } else if (reverse_) {
      return b->path < a->path;
    }
    return a->path < b->path;
  }

 private:
  std::optional<Column> sort_;
  bool reverse_;
};

/// Marks the rows that the filter lets through; in a tree also those above them. A cgroup's path
/// sorts behind that of its parent.
void mark(const Rows& rows, const View& view) {
  for (const auto& row : rows) {
    row->marked = view.filter.empty() || contains(row->path, view.filter) ||
                  (row->name != nullptr && contains(*row->name, view.filter));
  }
  for (auto row = rows.rbegin(); view.tree && row != rows.rend(); ++row) {
    if ((*row)->marked && (*row)->parent != nullptr) (*row)->parent->marked = true;
  }
}

std::vector<const Row*> matching(const Rows& rows, const View& view) {
  mark(rows, view);
  std::vector<const Row*> found;
  found.reserve(rows.size());
  for (const auto& row : rows) {
    if (row->marked) found.push_back(row.get());
  }
  return found;
}

bool is_folded(const View& view, const std::string& path) {
  return std::binary_search(view.folded.begin(), view.folded.end(), path);
}

using Children = std::vector<std::pair<const Row*, const Row*>>;  // parent, child

Children children_of(const std::vector<const Row*>& found, const View& view) {
  Children children;
  children.reserve(found.size());
  for (const Row* const row : found) children.emplace_back(row->parent, row);
  const Order order(view);
  std::sort(children.begin(), children.end(), [&](const auto& a, const auto& b) {
    return a.first != b.first ? a.first < b.first : order(a.second, b.second);
  });
  return children;
}

std::vector<Line> tree_of(const Children& children, const View& view) {
  const auto below = [&](const Row* parent) {
    return std::equal_range(children.begin(), children.end(), std::pair(parent, parent),
                            [](const auto& a, const auto& b) { return a.first < b.first; });
  };
  std::vector<Line> lines;
  std::vector<Line> pending;
  const auto add = [&](const Row* parent, unsigned depth) {
    const auto [first, last] = below(parent);
    for (auto one = last; one != first;) pending.push_back({(--one)->second, depth, false, false});
  };
  add(nullptr, 0);
  while (!pending.empty()) {
    Line line = pending.back();
    pending.pop_back();
    const auto [first, last] = below(line.row);
    line.has_children = first != last;
    line.folded = line.has_children && is_folded(view, line.row->path);
    lines.push_back(line);
    if (!line.folded) add(line.row, line.depth + 1);
  }
  return lines;
}

void select(View& view, const std::vector<Line>& lines, std::size_t line) {
  if (lines.empty()) return;
  view.cursor = std::min(line, lines.size() - 1);
  view.selected = lines[view.cursor].row->path;
  view.chosen = true;
}

void fold(View& view, const Line& line, bool folded) {
  const auto at = std::lower_bound(view.folded.begin(), view.folded.end(), line.row->path);
  const bool was = at != view.folded.end() && *at == line.row->path;
  if (folded && !was && line.has_children) view.folded.insert(at, line.row->path);
  if (!folded && was) view.folded.erase(at);
}

/// Folds the tree below the line; on a line that has nothing to fold, moves to the parent.
void fold_or_leave(View& view, const std::vector<Line>& lines) {
  const Line& line = lines[view.cursor];
  if (line.has_children && !line.folded) return fold(view, line, true);
  for (std::size_t i = view.cursor; i-- > 0;) {
    if (lines[i].row == line.row->parent) return select(view, lines, i);
  }
}

void fold_all(View& view, const std::vector<Line>& lines) {
  for (const Line& line : lines) {
    if (line.row->parent != nullptr && line.has_children) view.folded.push_back(line.row->path);
  }
  std::sort(view.folded.begin(), view.folded.end());
  view.folded.erase(std::unique(view.folded.begin(), view.folded.end()), view.folded.end());
}

/// Sorts by the column that is `step` places further, in the order of the screen; the path is the
/// last one.
void move_sort(View& view, int step) {
  const std::size_t count = view.columns.size() + 1;
  std::size_t at = view.columns.size();
  if (view.sort) {
    at = static_cast<std::size_t>(std::find(view.columns.begin(), view.columns.end(), *view.sort) -
                                  view.columns.begin());
  }
  at = (at + (step > 0 ? 1 : count - 1)) % count;
  view.sort = at < view.columns.size() ? std::optional(view.columns[at]) : std::nullopt;
}

void next_preset(View& view) {
  view.preset = (view.preset + 1) % presets().size();
  view.columns = presets()[view.preset].columns;
}

void erase_last_character(std::string& text) {
  constexpr unsigned mask = 0xC0;
  constexpr unsigned continues = 0x80;
  while (!text.empty()) {
    const auto byte = static_cast<unsigned char>(text.back());
    text.pop_back();
    if ((byte & mask) != continues) return;
  }
}

Action type(View& view, Key key) {
  constexpr std::size_t longest = 200;
  switch (key.code) {
    case Key::enter:
      view.typing = false;
      break;
    case Key::escape:
      view.typing = false;
      view.filter.clear();
      break;
    case Key::backspace:
      erase_last_character(view.filter);
      break;
    case Key::character:
      if (view.filter.size() < longest) view.filter.push_back(key.byte);
      break;
    default:
      return Action::none;
  }
  return Action::redraw;
}

/// Applies a key that moves the cursor; returns false for others.
bool move(View& view, Key key, const std::vector<Line>& lines, std::size_t page) {
  const char byte = key.code == Key::character ? key.byte : '\0';
  const std::size_t at = view.cursor;
  if (key.code == Key::up || byte == 'k') {
    select(view, lines, at == 0 ? 0 : at - 1);
  } else if (key.code == Key::down || byte == 'j') {
    select(view, lines, at + 1);
  } else if (key.code == Key::page_up) {
    select(view, lines, at - std::min(at, page));
  } else if (key.code == Key::page_down) {
    select(view, lines, at + page);
  } else if (key.code == Key::home || byte == 'g') {
    select(view, lines, 0);
    view.chosen = false;
  } else if (key.code == Key::end || byte == 'G') {
    select(view, lines, lines.size());
  } else {
    return false;
  }
  return true;
}

/// Applies a key of the tree; returns false for others.
bool fold_key(View& view, Key key, const std::vector<Line>& lines) {
  if (!view.tree || lines.empty() || view.cursor >= lines.size()) return false;
  const char byte = key.code == Key::character ? key.byte : '\0';
  const Line& line = lines[view.cursor];
  if (key.code == Key::left) {
    fold_or_leave(view, lines);
  } else if (key.code == Key::right) {
    fold(view, line, false);
  } else if (byte == ' ') {
    fold(view, line, !line.folded);
  } else if (byte == '-') {
    fold_all(view, lines);
  } else if (byte == '+') {
    view.folded.clear();
  } else {
    return false;
  }
  return true;
}

Action choose(View& view, char byte) {
  switch (byte) {
    case 'q':
      return Action::quit;
    case '<':
      move_sort(view, -1);
      break;
    case '>':
      move_sort(view, 1);
      break;
    case 'c':
      view.sort = Column::cpu;
      break;
    case 'm':
      view.sort = Column::memory;
      break;
    case 'n':
      view.sort.reset();
      break;
    case 'r':
      view.reverse = !view.reverse;
      break;
    case 't':
      view.tree = !view.tree;
      break;
    case 'N':
      view.names = !view.names;
      break;
    case 'p':
      view.paused = !view.paused;
      break;
    case 'v':
      next_preset(view);
      break;
    case '/':
      view.typing = true;
      break;
    case '?':
    case 'h':
      view.help = true;
      break;
    default:
      return Action::none;
  }
  return Action::redraw;
}

/// Applies a key while the help or one cgroup fills the screen.
Action press_above(View& view, Key key) {
  const bool detail = view.detail && !view.help;
  if (detail && key.code == Key::character && key.byte == 'p') return choose(view, key.byte);
  if (key.code == Key::none) return Action::none;
  view.help = false;
  if (detail) view.detail = false;
  return Action::redraw;
}

}  // namespace

std::vector<Line> lines_of(const Rows& rows, const View& view) {
  std::vector<const Row*> found = matching(rows, view);
  if (view.tree) return tree_of(children_of(found, view), view);
  std::sort(found.begin(), found.end(), Order(view));
  std::vector<Line> lines;
  lines.reserve(found.size());
  for (const Row* const row : found) lines.push_back({row, 0, false, false});
  return lines;
}

void place_cursor(View& view, const std::vector<Line>& lines, std::size_t page) {
  if (!view.chosen) view.cursor = 0;
  for (std::size_t i = 0; view.chosen && i < lines.size(); ++i) {
    if (lines[i].row->path == view.selected) view.cursor = i;
  }
  view.cursor = lines.empty() ? 0 : std::min(view.cursor, lines.size() - 1);
  if (!lines.empty()) view.selected = lines[view.cursor].row->path;
  if (view.first + page > lines.size()) view.first = lines.size() - std::min(page, lines.size());
  if (view.cursor < view.first) view.first = view.cursor;
  if (page > 0 && view.cursor >= view.first + page) view.first = view.cursor - page + 1;
}

Action press(View& view, Key key, const std::vector<Line>& lines, std::size_t page) {
  if (view.help || view.detail) return press_above(view, key);
  if (view.typing && key.code == Key::character) return type(view, key);
  if (move(view, key, lines, page)) return Action::redraw;
  if (view.typing) return type(view, key);
  if (fold_key(view, key, lines)) return Action::redraw;
  if (key.code == Key::character) return choose(view, key.byte);
  if (key.code == Key::enter && !lines.empty()) view.detail = true;
  if (key.code == Key::escape) view.filter.clear();
  return key.code == Key::enter || key.code == Key::escape ? Action::redraw : Action::none;
}

}  // namespace cgctl::tool::top_command
