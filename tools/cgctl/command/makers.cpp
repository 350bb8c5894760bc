// SPDX-FileCopyrightText: The cgctl authors
// SPDX-License-Identifier: MIT
#include "command/makers.hpp"

#include <fmt/format.h>

#include <algorithm>
#include <limits>
#include <utility>

#include "cgctl/mitigation.hpp"
#include "cgctl/workload.hpp"
#include "cli/json.hpp"
#include "command/dead.hpp"

namespace cgctl::tool {
namespace {

using recorder::Ledger;
using recorder::Maker;

/// One row of the table.
struct Origin {
  const Maker* zombies;   ///< only `removals`, the zombies, and `example` are set for a census
  const Maker* recorded;  ///< its figures in the ledger, if it has any
};

struct Origins {
  std::vector<Maker> named;   ///< zombies by maker, if there is a census
  std::vector<Origin> all;    ///< most zombies first
  std::uint64_t zombies = 0;  ///< the sum
  bool by_census = false;
  Error no_census;
};

/// Returns the maker with this pattern and some removals; null if there is none.
const Maker* find_maker(const std::vector<Maker>& makers, const std::string& pattern) {
  for (const Maker& maker : makers) {
    if (maker.pattern == pattern && maker.removals != 0) return &maker;
  }
  return nullptr;
}

/// Returns the maker of a zombie. The ledger knows the owner of a pod whose name is gone.
std::string maker_of(const Ledger& ledger, std::uint64_t inode, const std::string& path,
                     const workload::Pods& pods) {
  const recorder::Removed* const recorded = ledger.find(inode);
  if (recorded != nullptr && recorded->maker != 0) return ledger.makers[recorded->maker].pattern;
  return workload::maker_of(path, pods);
}

/// Groups the zombies that the kernel names.
Status add_named(const Host& host, const Ledger& ledger, const MakersOptions& options,
                 std::vector<Maker>& out) {
  const auto snapshot = take_census(host, options.state_dir);
  if (!snapshot) return fail(snapshot.error());
  const workload::Pods pods = workload::Pods::read(host).value_or(workload::Pods());
  for (std::size_t i = 0; i < snapshot->cgroups.size(); ++i) {
    const census::Cgroup& dead = snapshot->cgroups[i];
    if (dead.live) continue;
    std::string path = snapshot->path(i);
    if (!is_below(path, options.below)) continue;
    const std::string pattern = maker_of(ledger, dead.inode, path, pods);
    const Maker* const known = find_maker(out, pattern);
    const auto place = known == nullptr ? out.size() : static_cast<std::size_t>(known - &out[0]);
    if (known == nullptr) out.emplace_back();
    out[place].pattern = pattern;
    out[place].example = std::move(path);
    ++out[place].removals;
  }
  return {};
}

/// Finds the makers by a census, else in the ledger.
Origins find_origins(const Host& host, const Ledger& ledger, const MakersOptions& options) {
  Origins found;
  const auto status = add_named(host, ledger, options, found.named);
  found.by_census = status.has_value();
  if (!status) found.no_census = status.error();
  for (const Maker* const one : most_zombies(status ? found.named : ledger.makers)) {
    found.all.push_back({one, find_maker(ledger.makers, one->pattern)});
    found.zombies += one->least_dead();
  }
  return found;
}

std::string number_of(const Maker& zombies) {
  std::string text = std::to_string(zombies.least_dead());
  if (zombies.forgotten != 0) text += " to " + std::to_string(zombies.most_dead());
  return text;
}

/// Returns the frequency at which a maker removes cgroups; "unknown" before the second one.
std::string rate_of(const Origin& origin) {
  const auto interval = origin.recorded == nullptr ? std::nullopt : origin.recorded->interval();
  return interval ? frequency(*interval) : "unknown";
}

/// "812 of 1204: CronJob batch/backup, one a minute"
std::string summary(const std::string& zombies, std::uint64_t all, const Maker& maker,
                    const Maker* recorded) {
  std::string text =
      zombies + " of " + std::to_string(all) + ": " + printable(maker_name(maker.pattern));
  const auto interval = recorded == nullptr ? std::nullopt : recorded->interval();
  if (interval) text += ", " + frequency(*interval);
  return text;
}

std::string ago(std::chrono::seconds at) {
  return human_time(std::max(mitigation::uptime() - at, std::chrono::seconds(0))) + " ago";
}

std::string table_of(const Origins& found, std::size_t rows, bool recorded) {
  constexpr auto right = Table::Align::right;
  Table table =
      recorded ? Table({{"ZOMBIES", right}, {"REMOVED", right}, {"RATE"}, {"LAST"}, {"MADE BY"}})
               : Table({{"ZOMBIES", right}, {"MADE BY"}});
  for (std::size_t i = 0; i < rows; ++i) {
    const Origin& one = found.all[i];
    std::vector<std::string> cells{number_of(*one.zombies)};
    if (recorded) {
      const Maker* const maker = one.recorded;
      cells.push_back(maker == nullptr ? "unknown" : std::to_string(maker->removals));
      cells.push_back(rate_of(one));
      cells.push_back(maker == nullptr ? "unknown" : ago(maker->last));
    }
    cells.push_back(printable(maker_name(one.zombies->pattern)));
    table.add(std::move(cells));
  }
  return table.text();
}

/// Returns the lines that name the sources of the figures and the records that were lost.
std::string sources_of(const Origins& found, const Ledger& ledger, const zombies::Count& count) {
  std::string text = found.by_census ? "zombies         named by the kernel (census)\n"
                                     : "zombies         from the records of their removal\n";
  if (ledger.empty()) {
    text += "removals        not recorded: cgctl record --start records them from now on\n";
  } else {
    text += fmt::format("removals        recorded for {}\n",
                        human_time(mitigation::uptime() - ledger.since));
  }
  if (!found.by_census && count.low > found.zombies) {
    text +=
        fmt::format("not counted     {} zombies, removed before that or no longer in the ledger\n",
                    count.low - found.zombies);
  }
  if (!ledger.releases) {
    text += "releases        not recorded: directories were watched, for want of tracefs\n";
  }
  if (ledger.lost != 0) {
    text += fmt::format(
        "lost            {} records, overwritten or read by others before they were collected\n",
        ledger.lost);
  }
  return text;
}

std::string text_of(const Origins& found, const Ledger& ledger, const zombies::Count& count,
                    std::uint64_t top) {
  const auto rows = static_cast<std::size_t>(std::min<std::uint64_t>(top, found.all.size()));
  std::string text = "\n";
  if (rows != 0) {
    const Origin& first = found.all.front();
    text += summary(number_of(*first.zombies), found.by_census ? found.zombies : count.high,
                    *first.zombies, first.recorded) +
            "\n\n";
  }
  if (rows != 0) text += table_of(found, rows, !ledger.empty()) + "\n";
  if (rows < found.all.size()) {
    text += fmt::format("and {} more (--top {} shows all)\n", found.all.size() - rows,
                        found.all.size());
  }
  return text + sources_of(found, ledger, count);
}

/// Adds a number, or null. Not inline, for a small program.
__attribute__((noinline)) void put_or_null(Json& one, const char* key,
                                           std::optional<std::uint64_t> value) {
  one[key] = value ? Json(*value) : Json(nullptr);
}

Json json_of(const Origin& origin) {
  const Maker& zombies = *origin.zombies;
  const Maker* const recorded = origin.recorded;
  const auto figure = [recorded](std::uint64_t value) {
    return recorded == nullptr ? std::nullopt : std::optional<std::uint64_t>(value);
  };
  const Maker none;
  const Maker& past = recorded == nullptr ? none : *recorded;
  Json one;
  one["maker"] = maker_name(zombies.pattern);
  put_or_null(one, "zombies",
              zombies.forgotten == 0 ? std::optional(zombies.most_dead()) : std::nullopt);
  put(one, "low", zombies.least_dead());
  put(one, "high", zombies.most_dead());
  one["example"] = zombies.example;
  put_or_null(one, "removed", figure(past.removals));
  put_or_null(one, "released", figure(past.released));
  one["interval_s"] = nullptr;
  if (const auto interval = past.interval()) {
    one["interval_s"] = std::chrono::duration<double>(*interval).count();
  }
  put_or_null(one, "last_removal_boottime_s",
              figure(static_cast<std::uint64_t>(past.last.count())));
  return one;
}

Json json_of(const Origins& found, const Ledger& ledger, const zombies::Count& count,
             std::uint64_t top) {
  Json one = zombies_json(count, std::nullopt, std::numeric_limits<std::size_t>::max());
  one.erase("by_ancestor");
  Json makers = Json::array();
  const auto rows = static_cast<std::size_t>(std::min<std::uint64_t>(top, found.all.size()));
  for (std::size_t i = 0; i < rows; ++i) makers.push_back(json_of(found.all[i]));
  one["makers"] = std::move(makers);
  put(one, "makers_left_out", found.all.size() - rows);
  one["makers_source"] = found.by_census ? "census" : "records";
  const auto since = static_cast<std::uint64_t>(ledger.since.count());
  put_or_null(one, "recorded_since_boottime_s",
              ledger.empty() ? std::nullopt : std::optional(since));
  put(one, "records_lost", ledger.lost);
  return one;
}

/// Returns the error for a host without a census and without records that answer.
Error no_source(const Error& census, bool records_nothing) {
  Error error = census;
  error.operation = "name the makers of zombies";
  error.path.clear();
  if (error.reason.empty()) error.reason = census.message();
  error.hint = records_nothing
                   ? "as root, cgctl record --start records removals from now on, without the "
                     "kernel's names"
                   : "the records of removals are of the whole machine: without --below, they are "
                     "used";
  return error;
}

}  // namespace

std::string frequency(std::chrono::milliseconds interval) {
  using namespace std::chrono_literals;
  struct Unit {
    std::chrono::milliseconds time;
    const char* name;
  };
  constexpr Unit units[] = {{1s, "second"}, {1min, "minute"}, {1h, "hour"}, {24h, "day"}};
  constexpr int percent = 100;
  constexpr int tolerance = 5;
  if (interval.count() <= 0) return "many a second";
  for (const Unit& unit : units) {
    const auto off = std::chrono::abs(interval - unit.time);
    if (off * percent <= unit.time * tolerance) return fmt::format("one a {}", unit.name);
  }
  for (const Unit& unit : units) {
    const auto times = (unit.time + interval / 2) / interval;
    if (times >= 2) return fmt::format("{} a {}", times, unit.name);
  }
  return "one every " + human_time(interval);
}

std::string maker_name(const std::string& pattern) { return pattern.empty() ? "others" : pattern; }

std::vector<const Maker*> most_zombies(const std::vector<Maker>& all) {
  std::vector<const Maker*> makers;
  for (const Maker& maker : all) {
    if (maker.most_dead() != 0) makers.push_back(&maker);
  }
  std::sort(makers.begin(), makers.end(), [](const Maker* one, const Maker* other) {
    const std::uint64_t dead = one->most_dead();
    return dead != other->most_dead() ? dead > other->most_dead() : one < other;
  });
  return makers;
}

Result<Ledger> newest_ledger(const Host& host, const std::string& state_dir) {
  if (host.live()) {
    auto ledger = recorder::collect(host, state_dir);
    if (ledger) return ledger;
  }
  return recorder::peek(host, state_dir);
}

std::string leading_maker(const Ledger& ledger, std::uint64_t zombies) {
  const std::vector<const Maker*> makers = most_zombies(ledger.makers);
  if (makers.empty()) return {};
  const Maker& first = *makers.front();
  const std::string most = std::to_string(std::min(first.most_dead(), zombies));
  return summary(first.forgotten == 0 ? most : "up to " + most, zombies, first, &first);
}

Exit print_makers(const Globals& globals, const Host& host, const zombies::Count& count,
                  const MakersOptions& options) {
  const auto ledger = newest_ledger(host, options.state_dir);
  if (!ledger) return report(ledger.error());
  const Origins found = find_origins(host, *ledger, options);
  if (!found.by_census && (ledger->empty() || !options.below.empty())) {
    return report(no_source(found.no_census, ledger->empty()));
  }
  if (!found.by_census) warn(message_of(found.no_census));
  if (globals.format == Format::json) {
    print(globals, "zombies-makers/1", json_of(found, *ledger, count, options.top));
  } else {
    print(globals, text_of(found, *ledger, count, options.top));
  }
  return Exit::done;
}

}  // namespace cgctl::tool
