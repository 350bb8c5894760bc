// SPDX-FileCopyrightText: The cgctl authors
// SPDX-License-Identifier: MIT
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <algorithm>
#include <cmath>
#include <string>

#include "top/draw.hpp"

namespace top_test {

using namespace cgctl::tool::top_command;
using ::testing::ElementsAre;
using ::testing::HasSubstr;
using ::testing::IsEmpty;
using ::testing::Not;

constexpr Style plain{false, true};
constexpr Style ascii{false, false};

Row& add(Rows& rows, const char* path, double cpus, double bytes) {
  Row& row = *rows.emplace_back(std::make_unique<Row>());
  row.path = path;
  value(row.values, Column::cpu) = cpus;
  value(row.values, Column::memory) = bytes;
  return row;
}

/// Sorted by path as text, in which "/a-b" comes before "/a/x".
Rows tree() {
  Rows rows;
  add(rows, "/", 3, 900);
  add(rows, "/a", 1, 300);
  add(rows, "/a-b", 0.5, NAN);
  add(rows, "/a/x", 0.25, 100);
  add(rows, "/a/y", 0.75, 200);
  add(rows, "/b", 1.5, 600);
  link_parents(rows);
  return rows;
}

View view_of(bool in_tree) {
  View view;
  view.columns = presets().front().columns;
  view.tree = in_tree;
  return view;
}

std::vector<std::string> paths(const Rows& rows, const View& view) {
  std::vector<std::string> found;
  for (const Line& line : lines_of(rows, view)) found.push_back(line.row->path);
  return found;
}

/// Presses the keys as a terminal sends them.
Action send(View& view, const Rows& rows, std::string bytes, std::size_t page = 3) {
  Action last = Action::none;
  for (Key key; take_key(bytes, true, key);) {
    last = press(view, key, lines_of(rows, view), page);
    place_cursor(view, lines_of(rows, view), page);
  }
  return last;
}

/// Returns the lines of a screen without its escape sequences.
std::vector<std::string> screen(const View& view, const Rows& rows, Size size,
                                const Style& style = plain) {
  Summary summary;
  summary.time = "12:34:56";
  summary.interval = "1 s";
  summary.host = "host";
  summary.cgroups = rows.size();
  const std::string text = frame(view, lines_of(rows, view), summary, size, style);
  std::vector<std::string> lines(1);
  for (std::size_t i = 0; i < text.size(); ++i) {
    if (text[i] == '\x1b') {
      i = text.find_first_of("HJKhlm", i);
    } else if (text[i] == '\n') {
      lines.emplace_back();
    } else if (text[i] != '\r') {
      lines.back() += text[i];
    }
  }
  return lines;
}

TEST(Top, SortsByAFigureLargestFirst) {
  const Rows rows = tree();
  EXPECT_THAT(paths(rows, view_of(false)), ElementsAre("/", "/b", "/a", "/a/y", "/a-b", "/a/x"));
}

TEST(Top, ReversedACgroupWithoutTheFigureStaysLast) {
  const Rows rows = tree();
  View view = view_of(false);
  EXPECT_EQ(send(view, rows, "mr"), Action::redraw);
  EXPECT_THAT(paths(rows, view), ElementsAre("/a/x", "/a/y", "/a", "/b", "/", "/a-b"));
}

TEST(Top, SortsByPath) {
  const Rows rows = tree();
  View view = view_of(false);
  send(view, rows, "nr");
  EXPECT_THAT(paths(rows, view), ElementsAre("/b", "/a/y", "/a/x", "/a-b", "/a", "/"));
}

TEST(Top, TheSortGoesThroughTheColumnsAndThePath) {
  const Rows rows = tree();
  View view = view_of(false);
  send(view, rows, "<");
  EXPECT_EQ(view.sort, std::nullopt);
  send(view, rows, "<");
  EXPECT_EQ(view.sort, Column::cpu_full);
  send(view, rows, ">>>");
  EXPECT_EQ(view.sort, Column::limit);
}

TEST(Top, InTheTreeCgroupsFollowTheirParentSortedAmongSiblings) {
  const Rows rows = tree();
  EXPECT_THAT(paths(rows, view_of(true)), ElementsAre("/", "/b", "/a", "/a/y", "/a/x", "/a-b"));
}

TEST(Top, WithoutItsParentACgroupIsATopOfTheTree) {
  Rows rows;
  add(rows, "/a/x", 1, 1);
  add(rows, "/a/x/deep/er", 1, 1);
  link_parents(rows);
  const auto lines = lines_of(rows, view_of(true));
  ASSERT_EQ(lines.size(), 2U);
  EXPECT_EQ(lines[1].depth, 1U);
}

TEST(Top, FoldsAndUnfolds) {
  const Rows rows = tree();
  View view = view_of(true);
  send(view, rows, "\x1b[B\x1b[B ");
  EXPECT_THAT(paths(rows, view), ElementsAre("/", "/b", "/a", "/a-b"));
  send(view, rows, "\x1b[C");
  EXPECT_THAT(paths(rows, view), ElementsAre("/", "/b", "/a", "/a/y", "/a/x", "/a-b"));
  send(view, rows, "-");
  EXPECT_THAT(paths(rows, view), ElementsAre("/", "/b", "/a", "/a-b"));
  send(view, rows, "+");
  EXPECT_EQ(paths(rows, view).size(), rows.size());
  send(view, rows, "\x1b[B\x1b[D");
  EXPECT_EQ(view.selected, "/a") << "Left goes to the parent of a cgroup without others below";
}

TEST(Top, FiltersWhileTyping) {
  const Rows rows = tree();
  View view = view_of(false);
  send(view, rows, "/A/");
  EXPECT_TRUE(view.typing);
  EXPECT_THAT(paths(rows, view), ElementsAre("/a/y", "/a/x"));
  send(view, rows, "qq");
  EXPECT_THAT(paths(rows, view), IsEmpty()) << "letters are no commands while the filter is typed";
  send(view, rows, "\x7f\x7f\r");
  EXPECT_FALSE(view.typing);
  EXPECT_EQ(view.filter, "A/");
  send(view, rows, "\x1b");
  EXPECT_EQ(view.filter, "");
}

TEST(Top, NamesStandForPathsAndAreFiltered) {
  Rows rows = tree();
  find_row(rows, "/a/x")->name = std::make_unique<std::string>("shop/web (nginx)");
  find_row(rows, "/b")->name = std::make_unique<std::string>();
  View view = view_of(false);
  send(view, rows, "/WEB (");
  EXPECT_THAT(paths(rows, view), ElementsAre("/a/x"));
  EXPECT_THAT(screen(view, rows, {80, 6})[2], HasSubstr(" shop/web (nginx)"));
  send(view, rows, "\rN");
  EXPECT_THAT(screen(view, rows, {80, 6})[2], HasSubstr(" /a/x"));
}

TEST(Top, BackspaceErasesACharacterOfUtf8) {
  const Rows rows = tree();
  View view = view_of(false);
  send(view, rows, "/a\u00e9\x7f");
  EXPECT_EQ(view.filter, "a");
}

TEST(Top, InTheTreeAFilterKeepsTheParents) {
  const Rows rows = tree();
  View view = view_of(true);
  view.filter = "/x";
  EXPECT_THAT(paths(rows, view), ElementsAre("/", "/a", "/a/x"));
}

TEST(Top, TheCursorStaysWithItsCgroup) {
  Rows rows = tree();
  View view = view_of(false);
  send(view, rows, "jj");
  EXPECT_EQ(view.selected, "/a");
  value(find_row(rows, "/a")->values, Column::cpu) = 9;
  place_cursor(view, lines_of(rows, view), 3);
  EXPECT_EQ(view.selected, "/a");
  EXPECT_EQ(view.cursor, 0U);
}

TEST(Top, BeforeItIsMovedTheCursorStaysOnTop) {
  Rows rows = tree();
  View view = view_of(false);
  place_cursor(view, lines_of(rows, view), 3);
  value(find_row(rows, "/b")->values, Column::cpu) = 9;
  place_cursor(view, lines_of(rows, view), 3);
  EXPECT_EQ(view.selected, "/b");
}

TEST(Top, ThePageFollowsTheCursor) {
  const Rows rows = tree();
  View view = view_of(false);
  send(view, rows, "\x1b[F");
  EXPECT_EQ(view.cursor, 5U);
  EXPECT_EQ(view.first, 3U);
  send(view, rows, "\x1b[5~");
  EXPECT_EQ(view.cursor, 2U);
  EXPECT_EQ(view.first, 2U);
  send(view, rows, "\x1b[H");
  EXPECT_EQ(view.first, 0U);
}

TEST(Top, ThePageEndsWhereTheCgroupsEnd) {
  Rows rows = tree();
  View view = view_of(false);
  send(view, rows, "G");
  rows.resize(2);
  place_cursor(view, lines_of(rows, view), 3);
  EXPECT_EQ(view.first, 0U);
  EXPECT_EQ(view.cursor, 1U);
}

TEST(Top, QEndsIt) {
  const Rows rows = tree();
  View view = view_of(false);
  EXPECT_EQ(send(view, rows, "q"), Action::quit);
  EXPECT_EQ(send(view, rows, "\x1b[99;99R"), Action::none);
}

TEST(Top, AnyKeyLeavesTheHelpAndOneCgroup) {
  const Rows rows = tree();
  View view = view_of(false);
  send(view, rows, "?");
  EXPECT_TRUE(view.help);
  EXPECT_EQ(send(view, rows, "q"), Action::redraw);
  send(view, rows, "\r");
  EXPECT_TRUE(view.detail);
  send(view, rows, "p");
  EXPECT_TRUE(view.paused);
  EXPECT_TRUE(view.detail);
  send(view, rows, "\x1b");
  EXPECT_FALSE(view.detail);
}

TEST(Top, AKeyMayArriveInPieces) {
  std::string pending = "\x1b";
  Key key;
  EXPECT_FALSE(take_key(pending, false, key));
  pending += "[5";
  EXPECT_FALSE(take_key(pending, false, key));
  pending += "~x";
  ASSERT_TRUE(take_key(pending, false, key));
  EXPECT_EQ(key.code, Key::page_up);
  ASSERT_TRUE(take_key(pending, false, key));
  EXPECT_EQ(key.byte, 'x');
}

TEST(Top, LongPathsKeepTheirEnd) {
  EXPECT_EQ(shortened("/kubepods/burstable/pod-1234", 12, plain), "/ku\u2026pod-1234");
  EXPECT_EQ(shortened("/kubepods/burstable/pod-1234", 12, ascii), "/ku...d-1234");
  EXPECT_EQ(shortened("/kubepods", 9, plain), "/kubepods");
  EXPECT_EQ(shortened("/kubepods", 2, ascii), "ds");
  EXPECT_EQ(shortened("", 0, plain), "");
}

TEST(Top, WideCharactersTakeTwoColumns) {
  EXPECT_EQ(width_of("a\u00e9"), 2U);
  EXPECT_EQ(width_of("\u65e5\u672c"), 4U);
  EXPECT_EQ(width_of("e\u0301"), 1U);
  EXPECT_LE(width_of(shortened("/\u65e5\u672c\u65e5\u672c\u65e5\u672c", 8, plain)), 8U);
}

TEST(Top, NamesCannotSteerTheTerminal) {
  Rows rows;
  add(rows, "/a\x1b[2Jb\u202e\xff", 1, 1);
  const auto lines = screen(view_of(false), rows, {120, 6});
  EXPECT_THAT(lines[2], HasSubstr("/a\\x1b[2Jb"));
  EXPECT_THAT(lines[2], HasSubstr("\\xff"));
}

TEST(Top, WithoutUtf8EveryByteIsAscii) {
  Rows rows;
  add(rows, "/caf\u00e9/with-a-name-that-does-not-fit-into-the-width-of-this-screen", 1, 1);
  for (const std::string& line : screen(view_of(false), rows, {60, 6}, ascii)) {
    EXPECT_TRUE(std::all_of(line.begin(), line.end(), [](char c) { return c > 0; })) << line;
  }
}

TEST(Top, EveryScreenFillsItsSize) {
  const Rows rows = tree();
  for (const char* const keys : {"", "t", "?", "\r", "/x"}) {
    for (const Size size : {Size{20, 5}, Size{80, 24}, Size{250, 60}, Size{1, 1}, Size{3, 2}}) {
      View view = view_of(false);
      send(view, rows, keys, page_of(size));
      const auto lines = screen(view, rows, size);
      EXPECT_EQ(lines.size(), size.lines) << keys;
      for (const std::string& line : lines) EXPECT_EQ(width_of(line), size.columns) << line;
    }
  }
}

TEST(Top, ColumnsThatDoNotFitAreLeftOutButNotThatOfTheSort) {
  View view = view_of(false);
  EXPECT_EQ(fitting(view, 250).size(), presets().front().columns.size());
  view.sort = Column::zombies;
  const auto few = fitting(view, 40);
  EXPECT_LT(few.size(), 5U);
  EXPECT_EQ(few.front(), Column::cpu);
  EXPECT_EQ(few.back(), Column::zombies);
}

TEST(Top, ThreeShadesOfAFigure) {
  Values values{};
  values.fill(NAN);
  EXPECT_EQ(alarm_of(Column::limit, values), Alarm::none);
  value(values, Column::limit) = 90;
  EXPECT_EQ(alarm_of(Column::limit, values), Alarm::high);
  value(values, Column::limit) = 99;
  EXPECT_EQ(alarm_of(Column::limit, values), Alarm::critical);
  value(values, Column::memory) = 99;
  EXPECT_EQ(alarm_of(Column::memory, values), Alarm::none) << "without a limit";
  value(values, Column::max) = 100;
  EXPECT_EQ(alarm_of(Column::memory, values), Alarm::critical);
}

TEST(Top, ColourIsForFiguresAndOnlyWhereWanted) {
  Rows rows;
  value(add(rows, "/a", 1, 1).values, Column::throttled) = 50;
  const View view = view_of(false);
  const auto drawn = [&](bool color) {
    return frame(view, lines_of(rows, view), {}, {80, 5}, {color, true});
  };
  EXPECT_THAT(drawn(true), HasSubstr("\x1b[31m"));
  EXPECT_THAT(drawn(false), Not(HasSubstr("\x1b[3")));
}

TEST(Top, ASparklineHasTheLastPoints) {
  History history;
  for (int i = 0; i < 100; ++i) history.add(i);
  EXPECT_EQ(history.count(), History::size);
  EXPECT_NEAR(history.at(History::size - 1), 99, 1);
  EXPECT_NEAR(history.at(0), 100.0 - History::size, 1);
  EXPECT_EQ(sparkline(history, 3, ascii), "@@@");
  History steps;
  for (const double figure : {0.0, 1.0, 4.0, 8.0, static_cast<double>(NAN)}) steps.add(figure);
  EXPECT_EQ(sparkline(steps, 9, ascii), " .=@ ");
  EXPECT_EQ(sparkline(steps, 9, plain), " \u2581\u2584\u2588 ");
}

TEST(Top, FiguresAreShort) {
  EXPECT_EQ(cell_of(Column::cpu, 1.5), "1.50");
  EXPECT_EQ(cell_of(Column::memory, 1.5 * 1024 * 1024), "1.5M");
  EXPECT_EQ(cell_of(Column::memory, 12), "12B");
  EXPECT_EQ(cell_of(Column::limit, 12.34), "12.3");
  EXPECT_EQ(cell_of(Column::tasks, 1234567), "1234567");
  EXPECT_EQ(cell_of(Column::tasks, NAN), "-");
  EXPECT_EQ(cell_of(Column::age, 119), "119s");
  EXPECT_EQ(cell_of(Column::age, 150), "2.5min");
  EXPECT_EQ(cell_of(Column::age, 3 * 3600), "3h");
  EXPECT_EQ(cell_of(Column::age, 3 * 86400), "3d");
}

TEST(Top, ColumnsAreChosenByNameOrAsASet) {
  std::string wrong;
  EXPECT_THAT(columns_named("memory-some,cpu", wrong),
              ElementsAre(Column::memory_some, Column::cpu));
  EXPECT_EQ(columns_named("all", wrong).size(), static_cast<std::size_t>(Column::cpu_full) + 1);
  EXPECT_THAT(columns_named("cpu,,tasks", wrong), IsEmpty());
  EXPECT_EQ(wrong, "");
  EXPECT_THAT(columns_named("cpu,foo", wrong), IsEmpty());
  EXPECT_EQ(wrong, "foo");
}

}  // namespace top_test
