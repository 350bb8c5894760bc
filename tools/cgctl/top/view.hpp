// SPDX-FileCopyrightText: The cgctl authors
// SPDX-License-Identifier: MIT
#pragma once

#include <cstddef>
#include <cstdint>
#include <optional>
#include <string>
#include <vector>

#include "top/columns.hpp"
#include "top/keys.hpp"
#include "top/rows.hpp"

namespace cgctl::tool::top_command {

/// The choices of the user.
struct View {
  std::vector<Column> columns;
  std::size_t preset = 0;                    ///< of presets(), for the key v
  std::optional<Column> sort = Column::cpu;  ///< empty: by path
  bool reverse = false;
  bool tree = false;
  bool paused = false;
  bool names = true;  ///< names in place of paths where they are known
  bool help = false;
  bool detail = false;     ///< shows the selected cgroup alone
  bool typing = false;     ///< keys go to the filter
  bool chosen = false;     ///< the cursor stays with `selected`; false: it stays on the first line
  std::string filter;      ///< part of the path or the name, upper and lower case alike
  std::string selected;    ///< path of the line with the cursor
  std::size_t cursor = 0;  ///< line with the cursor
  std::size_t first = 0;   ///< first line on the screen
  std::vector<std::string> folded;  ///< paths whose cgroups below are hidden; sorted
};

/// A cgroup in the order of the view.
struct Line {
  const Row* row = nullptr;
  unsigned depth = 0;  ///< in the tree
  bool has_children = false;
  bool folded = false;
};

/// Returns the cgroups that the view shows, in its order: the largest figure first, cgroups without
/// one last, equal ones by path. In the tree the cgroups below one follow it, and with a filter the
/// cgroups above a match stay.
std::vector<Line> lines_of(const Rows& rows, const View& view);

/// Puts the cursor on the line of View::selected, and moves the page so that it shows the cursor.
void place_cursor(View& view, const std::vector<Line>& lines, std::size_t page);

enum class Action : std::uint8_t { none, redraw, quit };

/// Applies a key. `lines` are the present ones, `page` is the number of lines on the screen.
Action press(View& view, Key key, const std::vector<Line>& lines, std::size_t page);

}  // namespace cgctl::tool::top_command
