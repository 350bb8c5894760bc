// SPDX-FileCopyrightText: The cgctl authors
// SPDX-License-Identifier: MIT
#include <algorithm>
#include <cerrno>
#include <optional>

#include "cgctl/filesystem.hpp"
#include "cgctl/recorder.hpp"
#include "detail/state_directory.hpp"
#include "detail/state_text.hpp"
#include "recorder/ledger_file.hpp"

namespace cgctl::recorder {
namespace {

constexpr std::string_view seen_first_line = "cgctl seen 1";
constexpr std::size_t most_seen = 8192;

std::string text_of_seen(const std::vector<Seen>& all, const Present& now) {
  std::string text(seen_first_line);
  text += "\nboot " + now.boot_id + " " + std::to_string(now.uptime.count()) + "\n";
  for (const Seen& one : all) {
    text += "seen " + std::to_string(one.serial) + " " + std::to_string(one.at.count()) + "\n";
  }
  return text + cgctl::detail::checksum_line(text);
}

/// Parses the text of text_of_seen(). Returns nothing if the text has another form or lies in the
/// future, and an empty list for another boot.
std::optional<std::vector<Seen>> seen_from_text(std::string_view text, const Present& now) {
  const auto checked = cgctl::detail::without_checksum(text);
  if (!checked) return std::nullopt;
  cgctl::detail::Scanner scan(*checked);
  scan.line(seen_first_line);
  scan.line("boot");
  const std::string_view boot_id = scan.word();
  const std::chrono::seconds written(scan.count());
  std::vector<Seen> all;
  bool sound = true;
  while (scan.follows("seen")) {
    scan.line("seen");
    const std::uint64_t serial = scan.count();
    const std::chrono::seconds at(scan.count());
    sound = sound && at <= written && (all.empty() || all.back().serial < serial);
    all.push_back({serial, at});
  }
  if (!scan.at_end() || !sound || all.size() > most_seen) return std::nullopt;
  if (boot_id != now.boot_id) return std::vector<Seen>();
  if (written > now.uptime) return std::nullopt;
  return all;
}

/// Reads the file; an empty list if it is not there. Renames a file that is something else.
Result<std::vector<Seen>> load_seen(const std::string& path, const Present& now) {
  const auto text = cgctl::detail::read_state_file(path);
  if (!text && text.error().os_errno == ENOENT) return std::vector<Seen>();
  if (!text) return fail(text.error());
  auto all = *text ? seen_from_text(**text, now) : std::nullopt;
  if (all) return std::move(*all);
  const auto aside = cgctl::detail::set_aside(path);
  if (!aside) return fail(aside.error());
  return std::vector<Seen>();
}

bool is_older(const Seen& one, std::uint64_t serial) { return one.serial < serial; }

/// Returns the times of these cgroups; `now` for those that were not seen before.
std::vector<Seen> times_of(const std::vector<std::uint64_t>& serials,
                           const std::vector<Seen>& known, std::chrono::seconds now) {
  std::vector<Seen> all;
  for (const std::uint64_t serial : serials) {
    const auto found = std::lower_bound(known.begin(), known.end(), serial, is_older);
    const bool there = found != known.end() && found->serial == serial;
    all.push_back(there ? *found : Seen{serial, now});
  }
  return all;
}

/// Returns those that the file keeps: all that it had, and new ones while there is room.
std::vector<Seen> kept(const std::vector<Seen>& all, std::chrono::seconds now) {
  std::size_t room = most_seen;
  for (const Seen& one : all) {
    if (one.at < now) --room;
  }
  std::vector<Seen> some;
  for (const Seen& one : all) {
    const bool is_new = one.at >= now;
    if (is_new && room == 0) continue;
    if (is_new) --room;
    some.push_back(one);
  }
  return some;
}

bool same_cgroups(const std::vector<Seen>& some, const std::vector<Seen>& others) {
  return std::equal(some.begin(), some.end(), others.begin(), others.end(),
                    [](const Seen& one, const Seen& other) { return one.serial == other.serial; });
}

}  // namespace

Result<std::vector<Seen>> note_dead(const Host& host, const std::string& directory,
                                    const std::vector<std::uint64_t>& serials) {
  const auto lock = cgctl::detail::lock_state(directory, "seen.lock");
  if (!lock) return fail(lock.error());
  const auto now = present(host);
  if (!now) return fail(now.error());
  const std::string path = fs::join(directory, "seen");
  const auto known = load_seen(path, *now);
  if (!known) return fail(known.error());
  std::vector<Seen> all = times_of(serials, *known, now->uptime);
  const std::vector<Seen> to_keep = kept(all, now->uptime);
  if (same_cgroups(to_keep, *known)) return all;
  const auto status = cgctl::detail::replace_state_file(path, text_of_seen(to_keep, *now));
  if (!status) return fail(status.error());
  return all;
}

}  // namespace cgctl::recorder
