// SPDX-FileCopyrightText: The cgctl authors
// SPDX-License-Identifier: MIT
#pragma once

#include <cstddef>
#include <string>
#include <string_view>
#include <vector>

#include "top/view.hpp"

namespace cgctl::tool::top_command {

struct Size {
  std::size_t columns = 80;
  std::size_t lines = 24;
};

/// The abilities of the terminal.
struct Style {
  bool color = true;
  bool utf8 = true;
};

/// The first line of the screen.
struct Summary {
  std::string host;
  std::string time;      ///< "12:34:56"
  std::string interval;  ///< "1 s"
  std::size_t cgroups = 0;
  std::size_t unread = 0;          ///< cgroups with a file that could not be read
  std::vector<std::string> notes;  ///< about the selected cgroup: its names
};

/// Returns the number of terminal columns that the text takes, which must be free of control
/// characters.
std::size_t width_of(std::string_view text) noexcept;

/// Returns a text without control characters; without UTF-8 also without other bytes than ASCII.
std::string safe(std::string_view text, const Style& style);

/// Shortens a text to `width` columns: an ellipsis replaces its middle, more of its beginning than
/// of its end, because the end of a path tells cgroups apart.
std::string shortened(const std::string& text, std::size_t width, const Style& style);

/// Returns the columns that fit beside the path, in the view's order; the column of the sort is
/// always among them.
std::vector<Column> fitting(const View& view, std::size_t width);

/// Returns a line of small bars, the highest one for the largest point.
std::string sparkline(const History& history, std::size_t width, const Style& style);

/// Returns the number of cgroups that a screen of this size shows.
std::size_t page_of(Size size) noexcept;

/// Returns the whole screen as one text with escape sequences, at most `size` large.
std::string frame(const View& view, const std::vector<Line>& lines, const Summary& summary,
                  Size size, const Style& style);

/// The lines around a table.
struct Around {
  std::string title;
  std::string last;
};

/// Returns a screen with the table of the first lines that fit, and these lines around it.
std::string table_frame(const View& view, const std::vector<Line>& lines, const Around& around,
                        Size size, const Style& style);

}  // namespace cgctl::tool::top_command
