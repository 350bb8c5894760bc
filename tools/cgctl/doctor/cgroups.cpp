// SPDX-FileCopyrightText: The cgctl authors
// SPDX-License-Identifier: MIT
#include "doctor/cgroups.hpp"

#include <algorithm>
#include <cerrno>
#include <utility>

#include "cgctl/cpu.hpp"
#include "cgctl/filesystem.hpp"
#include "cgctl/group.hpp"
#include "cgctl/memory_stat.hpp"
#include "cgctl/mitigation.hpp"
#include "cgctl/parse.hpp"
#include "cli/command.hpp"
#include "doctor/kernel_log.hpp"

namespace cgctl::tool::doctor_command {
namespace {

using mitigation::note_missing;

constexpr std::size_t most_named = 5;
constexpr std::chrono::seconds day = std::chrono::hours(24);

/// Returns the zombies a day by the removals of the last day that were recorded and not released.
std::optional<double> by_ledger(const recorder::Ledger* ledger, std::chrono::seconds now) {
  constexpr std::chrono::seconds shortest = std::chrono::minutes(10);
  if (ledger == nullptr || ledger->empty() || !ledger->releases) return std::nullopt;
  const std::chrono::seconds begin = std::max(ledger->since, now - day);
  if (now - begin < shortest) return std::nullopt;
  const auto made = std::count_if(ledger->dead.begin(), ledger->dead.end(),
                                  [&](const recorder::Removed& one) { return one.at >= begin; });
  return static_cast<double>(made) * static_cast<double>(day.count()) /
         static_cast<double>((now - begin).count());
}

/// Finds the rate at which zombies are made, by the best source there is.
void find_rate(const Host& host, const recorder::Ledger* ledger, const std::string& state_dir,
               const zombies::Count& count, Ids& ids) {
  const std::chrono::seconds now = mitigation::uptime();
  if ((ids.zombies_a_day = by_ledger(ledger, now))) {
    ids.basis = Ids::Basis::ledger;
    return;
  }
  const auto history = mitigation::Store::peek(host, state_dir);
  if (history && history->sample.at && now - *history->sample.at < std::chrono::hours(1)) {
    ids.zombies_a_day = std::max(history->growth, 0.0) * static_cast<double>(day.count());
    ids.basis = Ids::Basis::history;
    return;
  }
  ids.zombies_a_day = static_cast<double>(count.low) * static_cast<double>(day.count()) /
                      static_cast<double>(std::max<std::chrono::seconds::rep>(now.count(), 1));
  ids.basis = Ids::Basis::boot;
}

/// Calls `look(directory, path, flags)` for each cgroup of a hierarchy, until `end`. `path` is
/// relative to the root, "." for the root itself.
template <class Look>
void for_each(const Host& host, const char* controller, Clock::time_point end, Diagnosis& found,
              Look look) {
  const Hierarchy* const hierarchy = host.find(controller);
  if (hierarchy == nullptr) return;
  std::vector<std::string> paths = {"."};
  const auto status = add_paths_below(hierarchy->directory.get(), hierarchy->mount_point, paths);
  if (!status) note_missing(found.unread, status.error());
  for (std::size_t i = 0; i < paths.size(); ++i) {
    if (Clock::now() >= end) {
      found.unexamined = std::max<std::uint64_t>(found.unexamined, paths.size() - i);
      return;
    }
    look(*hierarchy, paths[i]);
  }
}

Result<std::string> read(const Hierarchy& hierarchy, const std::string& path, const char* file) {
  const std::string place = path == "." ? file : fs::join(path, file);
  return fs::read_beneath(hierarchy.directory.get(), place, fs::join(hierarchy.mount_point, place),
                          hierarchy.open_flags);
}

void note_unless_gone(Unread& unread, const Error& error) {
  if (error.kind != errc::vanished && error.os_errno != ENODEV) note_missing(unread, error);
}

std::string absolute(const std::string& path) {
  if (path == ".") return "/";
  return path.front() == '/' ? path : "/" + path;
}

void find_throttled(const Host& host, Clock::time_point end, Diagnosis& found) {
  for_each(host, "cpu", end, found, [&](const Hierarchy& hierarchy, const std::string& path) {
    const auto text = read(hierarchy, path, "cpu.stat");
    if (!text) note_unless_gone(found.unread, text.error());
    cpu::Stat stat;
    if (!text || !cpu::parse(*text, hierarchy.version, stat)) return;
    if (stat.nr_throttled.value_or(0) == 0 || stat.nr_periods.value_or(0) == 0) return;
    constexpr double percent = 100;
    found.throttled.push_back(
        {absolute(path),
         {},
         percent * static_cast<double>(*stat.nr_throttled) / static_cast<double>(*stat.nr_periods),
         stat.throttled.value_or(nanoseconds(0))});
  });
  const auto longer = [](const Throttled& a, const Throttled& b) { return a.time > b.time; };
  std::stable_sort(found.throttled.begin(), found.throttled.end(), longer);
  if (found.throttled.size() > most_named) found.throttled.resize(most_named);
}

/// Finds the cgroups whose counters tell of kills. On v2 by their own, not those below (Linux 5.2).
void count_kills(const Host& host, Clock::time_point end, Diagnosis& found) {
  for_each(host, "memory", end, found, [&](const Hierarchy& hierarchy, const std::string& path) {
    const bool v2 = hierarchy.version == Version::v2;
    const auto text = read(hierarchy, path, v2 ? "memory.events.local" : "memory.oom_control");
    if (!text) note_unless_gone(found.unread, text.error());
    const auto kills = text ? parse::value_of(*text, "oom_kill") : std::nullopt;
    if (kills.value_or(0) != 0) found.killed.push_back({absolute(path), {}, kills, std::nullopt});
  });
  const auto more = [](const Killed& a, const Killed& b) { return a.kills > b.kills; };
  std::stable_sort(found.killed.begin(), found.killed.end(), more);
}

/// Puts the cgroups of the last kills in the log first, the last one at the front, with their
/// times.
void add_kills_of_the_log(Diagnosis& found) {
  const std::vector<OomKill> kills = oom_kills(read_kernel_log());
  std::vector<Killed> last;
  const auto same = [](const std::string& path) {
    return [&path](const Killed& one) { return one.path == path; };
  };
  for (auto kill = kills.rbegin(); kill != kills.rend() && last.size() < most_named; ++kill) {
    if (std::any_of(last.begin(), last.end(), same(kill->path))) continue;
    Killed one{kill->path, {}, std::nullopt, std::nullopt};
    if (kill->after_boot) one.ago = mitigation::uptime() - *kill->after_boot;
    const auto counted = std::find_if(found.killed.begin(), found.killed.end(), same(kill->path));
    if (counted != found.killed.end()) {
      one.kills = counted->kills;
      found.killed.erase(counted);
    }
    last.push_back(std::move(one));
  }
  found.killed.insert(found.killed.begin(), std::make_move_iterator(last.begin()),
                      std::make_move_iterator(last.end()));
}

}  // namespace

void examine_ids(const Host& host, const recorder::Ledger* ledger, const std::string& state_dir,
                 Diagnosis& found) {
  if (!found.zombies) return;
  const zombies::Count& count = found.zombies->count;
  Ids ids;
  ids.used = count.kernel;
  if (host.live()) find_rate(host, ledger, state_dir, count, ids);
  const std::uint64_t left = memcg_ids - std::min(memcg_ids, ids.used);
  if (ids.zombies_a_day.value_or(0) > 0) {
    ids.days_left = static_cast<double>(left) / *ids.zombies_a_day;
  }
  found.ids = ids;
}

void examine_cgroups(const Host& host, names::Resolver& names, Diagnosis& found) {
  constexpr auto longest = std::chrono::milliseconds(250);
  find_throttled(host, Clock::now() + longest, found);
  count_kills(host, Clock::now() + longest, found);
  if (host.live()) add_kills_of_the_log(found);
  if (found.killed.size() > most_named) found.killed.resize(most_named);
  for (Throttled& one : found.throttled) one.names = names.names_of(one.path);
  for (Killed& one : found.killed) one.names = names.names_of(one.path);
  if (!found.zombies || !found.zombies->where) return;
  for (const zombies::Ancestor& one : found.zombies->where->ancestors) {
    if (found.zombies->names.size() == ancestors_named) break;
    found.zombies->names.push_back(names.names_of(one.path));
  }
}

void examine_memory_stat(const Host& host, Diagnosis& found) {
  if (!found.memory || !host.live()) return;
  constexpr unsigned reads = 3;
  constexpr nanoseconds slow = std::chrono::milliseconds(5);
  const auto root = host.open("/");
  if (!root) return note_missing(found.unread, root.error());
  for (unsigned i = 0; i < reads; ++i) {
    const auto start = Clock::now();
    const auto stat = memory::stat(*root);
    const nanoseconds took = Clock::now() - start;
    if (!stat) return note_missing(found.unread, stat.error());
    found.memory_stat = found.memory_stat ? std::min(*found.memory_stat, took) : took;
    if (took >= slow) return;
  }
}

}  // namespace cgctl::tool::doctor_command
