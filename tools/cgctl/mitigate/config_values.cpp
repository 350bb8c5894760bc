// SPDX-FileCopyrightText: The cgctl authors
// SPDX-License-Identifier: MIT
#include "mitigate/config_values.hpp"

#include <fmt/format.h>

#include <CLI/CLI.hpp>
#include <algorithm>
#include <array>
#include <optional>
#include <utility>

#include "cgctl/parse.hpp"

namespace cgctl::tool {
namespace {

using mitigation::Window;

constexpr std::array<std::string_view, 7> day_names = {"Mon", "Tue", "Wed", "Thu",
                                                       "Fri", "Sat", "Sun"};
constexpr unsigned minutes_a_day = 24 * 60;

std::optional<std::size_t> day_named(std::string_view name) {
  const auto* const found = std::find(day_names.begin(), day_names.end(), name);
  if (found == day_names.end()) return std::nullopt;
  return static_cast<std::size_t>(found - day_names.begin());
}

/// Removes the text before `separator` and the separator, or all text without one; returns the
/// removed text.
std::string_view cut(std::string_view& text, char separator) {
  const std::size_t end = std::min(text.find(separator), text.size());
  const std::string_view head = text.substr(0, end);
  text.remove_prefix(std::min(end + 1, text.size()));
  return head;
}

/// Parses "Mon-Fri", "Sat,Sun".
bool add_days(std::string_view text, std::array<bool, 7>& days) {
  for (bool more = true; more;) {
    more = text.find(',') != std::string_view::npos;
    std::string_view range = cut(text, ',');
    const bool one = range.find('-') == std::string_view::npos;
    const auto first = day_named(cut(range, '-'));
    const auto last = one ? first : day_named(range);
    if (!first || !last) return false;
    for (std::size_t day = *first;; day = (day + 1) % days.size()) {
      days[day] = true;
      if (day == *last) break;
    }
  }
  return true;
}

/// Converts "02:30" to minutes.
std::optional<unsigned> minute_of(std::string_view text) {
  const auto hours = parse::whole_number(cut(text, ':'));
  const auto minutes = parse::whole_number(text);
  if (text.size() != 2 || !hours || !minutes || *hours > 24 || *minutes > 59) return std::nullopt;
  const auto all = static_cast<unsigned>(*hours * 60 + *minutes);
  if (all > minutes_a_day) return std::nullopt;
  return all;
}

}  // namespace

std::string time_text(std::chrono::nanoseconds time) {
  constexpr std::array<std::pair<std::int64_t, const char*>, 5> units = {{{3'600'000'000'000, "h"},
                                                                          {60'000'000'000, "min"},
                                                                          {1'000'000'000, "s"},
                                                                          {1'000'000, "ms"},
                                                                          {1'000, "us"}}};
  const std::int64_t all = time.count();
  if (all == 0) return "0s";
  for (const auto& [unit, name] : units) {
    if (all % unit == 0) return fmt::format("{}{}", all / unit, name);
  }
  return fmt::format("{}ns", all);
}

std::string size_text(std::uint64_t bytes) {
  constexpr std::array<std::pair<std::uint64_t, const char*>, 3> units = {
      {{std::uint64_t{1} << 30, "GiB"}, {1 << 20, "MiB"}, {1 << 10, "KiB"}}};
  for (const auto& [unit, name] : units) {
    if (bytes != 0 && bytes % unit == 0) return fmt::format("{}{}", bytes / unit, name);
  }
  return fmt::format("{}", bytes);
}

Window parse_window(const std::string& text) {
  std::string_view rest = text;
  Window window;
  if (rest.find(' ') == std::string_view::npos) {
    window.days.fill(true);
  } else if (!add_days(cut(rest, ' '), window.days)) {
    throw CLI::ValidationError(
        fmt::format("'{}': days are Mon, Tue, Wed, Thu, Fri, Sat and Sun, such as Mon-Fri", text));
  }
  const auto from = minute_of(cut(rest, '-'));
  const auto to = minute_of(rest);
  if (!from || !to || *from == minutes_a_day) {
    throw CLI::ValidationError(
        fmt::format("'{}': not a window such as \"Mon-Fri 02:00-05:00\"", text));
  }
  window.from = *from;
  window.to = *to;
  return window;
}

std::string window_text(const Window& window) {
  std::string days;
  for (std::size_t day = 0; day < day_names.size(); ++day) {
    if (window.days[day]) days.append(days.empty() ? "" : ",").append(day_names[day]);
  }
  const bool always =
      std::all_of(window.days.begin(), window.days.end(), [](bool day) { return day; });
  return fmt::format("{}{:02}:{:02}-{:02}:{:02}", always ? "" : days + " ", window.from / 60,
                     window.from % 60, window.to / 60, window.to % 60);
}

}  // namespace cgctl::tool
