// SPDX-FileCopyrightText: The cgctl authors
// SPDX-License-Identifier: MIT
#include "mitigation/history_text.hpp"

#include <fmt/format.h>
#include <time.h>

#include <algorithm>
#include <cmath>

#include "cgctl/mitigation.hpp"
#include "detail/state_text.hpp"

namespace cgctl::detail {
namespace {

using mitigation::History;
using mitigation::Rung;
using mitigation::RungHistory;
using std::chrono::seconds;

constexpr std::string_view header = "cgctl mitigation history 3";
constexpr std::string_view never = "never";
/// Growth is stored as zombies in 1,000,000 seconds.
constexpr double growth_unit = 1e6;
constexpr std::size_t most_actions = 10'000;

std::string in_text(const std::optional<seconds>& time) {
  return time ? std::to_string(time->count()) : std::string(never);
}

std::optional<seconds> time_of(Scanner& scan) {
  const std::string_view text = scan.word();
  if (text == never) return std::nullopt;
  return seconds(scan.number(text));
}

/// Scans the line of a rung, which an older cgctl that lacked the rung did not write.
void scan_rung(Scanner& scan, Rung rung, RungHistory& out) {
  const std::string key = fmt::format("rung {} ", to_string(rung));
  if (!scan.follows(key)) return;
  scan.line(key);
  out.last = time_of(scan);
  out.useless = static_cast<unsigned>(scan.count());
  out.effective = scan.count();
  out.ineffective = scan.count();
  out.failed = scan.count();
  // In KiB. An older cgctl did not write it.
  if (scan.more_in_line()) out.given_up = scan.count() << 10;
}

/// True if no time in the history is later than `written`.
bool is_past(const History& history, seconds written) {
  const auto past = [written](const std::optional<seconds>& at) { return !at || *at <= written; };
  return past(history.last_action) && past(history.sample.at) && past(history.probe.at) &&
         std::all_of(history.actions.begin(), history.actions.end(), past) &&
         std::all_of(history.rungs.begin(), history.rungs.end(),
                     [&past](const RungHistory& rung) { return past(rung.last); });
}

/// Translates the times to the clock of a later boot.
void translate(History& history, const Moment& written, const Moment& now) {
  const seconds between = std::max(now.since_1970 - written.since_1970, seconds(0));
  const seconds shift = now.uptime - between - written.uptime;
  if (history.last_action) *history.last_action += shift;
  for (seconds& at : history.actions) at += shift;
  history.ineffective = 0;
  history.alarmed = false;
  history.sample = {};
  history.growth = history.recent_growth = 0;
  history.probe = {};
  for (RungHistory& rung : history.rungs) {
    rung.last.reset();
    rung.useless = 0;
  }
}

}  // namespace

Moment moment(std::string boot_id) {
  timespec now{};
  ::clock_gettime(CLOCK_REALTIME, &now);
  return {std::move(boot_id), mitigation::uptime(), seconds(now.tv_sec)};
}

std::string to_text(const History& history, const Moment& written) {
  std::string text = fmt::format("{}\nboot {} {} {}\n", header, written.boot_id,
                                 written.uptime.count(), written.since_1970.count());
  text += fmt::format("last_action {}", in_text(history.last_action));
  if (history.action_time) text += fmt::format(" {}", history.action_time->count());
  text +=
      fmt::format("\nineffective {}\nalarmed {}\n", history.ineffective, history.alarmed ? 1 : 0);
  text += fmt::format("growth {} {}\n", std::llround(history.growth * growth_unit),
                      std::llround(history.recent_growth * growth_unit));
  text += fmt::format("sample {} {}\n", in_text(history.sample.at), history.sample.zombies);
  text += fmt::format("probe {} {} {}", in_text(history.probe.at), history.probe.cost.count(),
                      history.probe.memcgs);
  if (history.probe.delay) text += fmt::format(" {}", history.probe.delay->count());
  text += '\n';
  text += "actions";
  for (const seconds at : history.actions) text += fmt::format(" {}", at.count());
  text += '\n';
  for (std::size_t i = 0; i < mitigation::rung_count; ++i) {
    const RungHistory& rung = history.rungs[i];
    text += fmt::format("rung {} {} {} {} {} {} {}\n", to_string(static_cast<Rung>(i)),
                        in_text(rung.last), rung.useless, rung.effective, rung.ineffective,
                        rung.failed, rung.given_up >> 10);
  }
  return text + checksum_line(text);
}

std::optional<History> history_from_text(std::string_view text, const Moment& now) {
  History history;
  Moment written;
  const auto checked = without_checksum(text);
  if (!checked) return std::nullopt;
  Scanner scan(*checked);
  scan.line(header);
  scan.line("boot");
  written.boot_id = scan.word();
  written.uptime = seconds(scan.number());
  written.since_1970 = seconds(scan.number());
  scan.line("last_action");
  history.last_action = time_of(scan);
  // An older cgctl did not write it.
  if (scan.more_in_line()) history.action_time = seconds(scan.count());
  scan.line("ineffective");
  history.ineffective = static_cast<unsigned>(scan.count());
  scan.line("alarmed");
  history.alarmed = scan.count() != 0;
  scan.line("growth");
  history.growth = static_cast<double>(scan.count()) / growth_unit;
  // An older cgctl did not write it.
  if (scan.more_in_line()) history.recent_growth = static_cast<double>(scan.count()) / growth_unit;
  scan.line("sample");
  history.sample.at = time_of(scan);
  history.sample.zombies = scan.count();
  scan.line("probe");
  history.probe.at = time_of(scan);
  history.probe.cost = std::chrono::nanoseconds(scan.number());
  history.probe.memcgs = scan.count();
  if (scan.more_in_line()) history.probe.delay = std::chrono::nanoseconds(scan.number());
  scan.line("actions");
  while (scan.more_in_line() && history.actions.size() < most_actions) {
    history.actions.emplace_back(scan.number());
  }
  for (std::size_t i = 0; i < mitigation::rung_count; ++i) {
    scan_rung(scan, static_cast<Rung>(i), history.rungs[i]);
  }
  if (!scan.at_end() || !is_past(history, written.uptime)) return std::nullopt;
  if (written.boot_id != now.boot_id) {
    translate(history, written, now);
  } else if (written.uptime > now.uptime) {
    return std::nullopt;
  }
  return history;
}

}  // namespace cgctl::detail
