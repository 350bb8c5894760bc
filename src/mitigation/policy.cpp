// SPDX-FileCopyrightText: The cgctl authors
// SPDX-License-Identifier: MIT
#include <fmt/format.h>

#include <algorithm>
#include <array>

#include "cgctl/mitigation_policy.hpp"
#include "mitigation/steps.hpp"

namespace cgctl::mitigation {
namespace {

using std::chrono::duration;
using std::chrono::seconds;

double in_ms(std::chrono::nanoseconds time) { return duration<double, std::milli>(time).count(); }

std::string in_words(std::uint64_t bytes) {
  if (bytes < std::uint64_t{1} << 20) return fmt::format("{} KiB", bytes >> 10);
  return fmt::format("{:.1f} MiB", static_cast<double>(bytes) / (1 << 20));
}

std::uint64_t less(std::uint64_t from, std::uint64_t amount) {
  return from > amount ? from - amount : 0;
}

/// True if there are enough pages to hold the zombies: at least one for twenty zombies.
bool could_hold(std::uint64_t bytes, const Observation& seen) {
  return bytes / seen.page_size * 20 >= std::max<std::uint64_t>(seen.zombies.low, 1);
}

/// Returns the time until the action after the next one may start: min_interval begins once the
/// next one has ended.
seconds until_another(const History& history, const Policy& policy) {
  const auto settled = std::chrono::ceil<seconds>(policy.settle_limit);
  const auto longest = std::chrono::ceil<seconds>(policy.deadline);
  return policy.min_interval + std::max(history.action_time.value_or(longest), settled);
}

/// Predicts the number of zombies that will appear meanwhile.
double more_to_come(const History& history, const Policy& policy) {
  return expected(history, until_another(history, policy));
}

/// Returns the rate that more_to_come() expects, in zombies an hour.
double an_hour(const History& history, const Policy& policy) {
  const double hours = duration<double, std::ratio<3600>>(until_another(history, policy)).count();
  return hours > 0 ? more_to_come(history, policy) / hours : 0;
}

/// True if others are known to run during a read of the root's numa_stat, so that its length harms
/// nobody.
bool lets_others_run(const Observation& seen, const Policy& policy) noexcept {
  return seen.read_delay && *seen.read_delay <= policy.read_cost_limit;
}

/// Returns the predicted cost of a read when the next action may start.
std::optional<std::chrono::nanoseconds> cost_to_come(const Observation& seen,
                                                     const History& history, const Policy& policy) {
  const double come = more_to_come(history, policy);
  if (!seen.read_cost || come <= 0 || seen.zombies.kernel == 0) return std::nullopt;
  const double more = come / static_cast<double>(seen.zombies.kernel);
  const double times = 1 + std::min(more, 1.0);  // as in predicted_cost()
  return std::chrono::nanoseconds(
      static_cast<std::int64_t>(static_cast<double>(seen.read_cost->count()) * times));
}

/// True if a read would be noticeably cheaper without the zombies.
bool to_blame(const Observation& seen, const Policy& policy) {
  const std::uint64_t zombies = seen.zombies.low;
  if (zombies > policy.zombies_low || zombies > seen.zombies.live) return true;
  if (!seen.read_cost || zombies * 10 < seen.zombies.kernel) return false;
  const double live =
      static_cast<double>(seen.zombies.live) / static_cast<double>(seen.zombies.kernel);
  return in_ms(*seen.read_cost) * live <= in_ms(policy.read_cost_limit);
}

/// Formats " and others wait up to 53.0 ms for it"; empty if that is not known.
std::string delay_in_words(const Observation& seen) {
  if (!seen.read_delay) return {};
  return fmt::format(" and others wait up to {:.1f} ms for it", in_ms(*seen.read_delay));
}

/// Returns the reason to act that the number of zombies is; empty if it is none.
std::string need_by_number(const Observation& seen, const History& history, const Policy& policy) {
  const std::uint64_t zombies = seen.zombies.low;
  if (policy.only)
    return fmt::format("{} was requested; {} zombies", to_string(*policy.only), zombies);
  if (zombies >= policy.zombies_high) {
    return fmt::format("{} zombies, the limit is {}", zombies, policy.zombies_high);
  }
  if (history.alarmed && zombies > policy.zombies_low) {
    return fmt::format("{} zombies: it started at {}, and goes on until {} are left", zombies,
                       policy.zombies_high, policy.zombies_low);
  }
  const double soon = static_cast<double>(zombies) + more_to_come(history, policy);
  if (zombies > policy.zombies_low && soon >= static_cast<double>(policy.zombies_high)) {
    return fmt::format("{} zombies, {:.0f} more an hour: {:.0f} in {} s, the limit is {}", zombies,
                       an_hour(history, policy), soon, until_another(history, policy).count(),
                       policy.zombies_high);
  }
  return {};
}

/// Returns the reason to act that a read of the root's numa_stat is; empty if it is none.
std::string need_by_read(const Observation& seen, const History& history, const Policy& policy) {
  const std::uint64_t zombies = seen.zombies.low;
  if (!to_blame(seen, policy) || lets_others_run(seen, policy)) return {};
  if (seen.read_cost && *seen.read_cost > policy.read_cost_limit) {
    return fmt::format(
        "a read of the root's numa_stat {} {:.1f} ms{}, above the limit of {:.1f} ms, with {} "
        "zombies",
        seen.read_cost_measured ? "takes" : "may take", in_ms(*seen.read_cost),
        delay_in_words(seen), in_ms(policy.read_cost_limit), zombies);
  }
  const auto later = cost_to_come(seen, history, policy);
  if (later && *later > policy.read_cost_limit) {
    return fmt::format(
        "{} zombies, {:.0f} more an hour: a read of the root's numa_stat may take {:.1f} ms in {} "
        "s, above the limit of {:.1f} ms",
        zombies, an_hour(history, policy), in_ms(*later), until_another(history, policy).count(),
        in_ms(policy.read_cost_limit));
  }
  return {};
}

struct Need {
  std::string why;  ///< empty if there is no reason to act
  bool read = false;
};

Need need(const Observation& seen, const History& history, const Policy& policy) {
  if (seen.zombies.low == 0) return {};
  std::string number = need_by_number(seen, history, policy);
  if (!number.empty()) return {std::move(number), false};
  return {need_by_read(seen, history, policy), true};
}

seconds interval(const History& history, const Policy& policy) {
  seconds wait = policy.min_interval;
  if (wait == seconds(0)) return wait;
  for (unsigned i = 0; i < history.ineffective && wait < policy.max_interval; ++i) wait *= 2;
  return std::min(wait, std::max(policy.max_interval, policy.min_interval));
}

/// True if dropping caches cannot help: the zombies' pages are neither clean cache nor slab.
bool nothing_freeable(const Observation& seen) {
  return seen.residual && seen.slab == zombies::SlabPins::no &&
         !could_hold(seen.residual->freeable(), seen);
}

std::string too_recent(const History& history, const Policy& policy, seconds now) {
  if (history.last_action && now >= *history.last_action) {
    const seconds since = now - *history.last_action;
    const seconds wait = interval(history, policy);
    if (since < wait) {
      return fmt::format("the last action was {} s ago, the next may start after {} s{}",
                         since.count(), wait.count(),
                         history.ineffective == 0
                             ? std::string()
                             : fmt::format(", doubled for {} without effect", history.ineffective));
    }
  }
  const std::size_t today = actions_accounted(history, now);
  if (today >= policy.actions_a_day) {
    return fmt::format("there were {} actions in the last 24 hours, the limit is {}", today,
                       policy.actions_a_day);
  }
  return {};
}

std::string out_of_hours(const Observation& seen, const Policy& policy) {
  if (policy.windows.empty() || !seen.local_time) return {};
  const bool inside =
      std::any_of(policy.windows.begin(), policy.windows.end(),
                  [&seen](const Window& window) { return window.contains(*seen.local_time); });
  return inside ? std::string() : "outside the maintenance windows (windows = [...])";
}

/// Returns why the machine is too busy to act; empty if it is not.
std::string too_busy(const Observation& seen, const Policy& policy) {
  if (seen.io_pressure && *seen.io_pressure > policy.io_pressure_limit) {
    return fmt::format(
        "I/O pressure is {:.1f} % (some avg10), above {:.1f} %: refilling the cache would add to "
        "it",
        *seen.io_pressure, policy.io_pressure_limit);
  }
  if (seen.memory_pressure && *seen.memory_pressure > policy.memory_pressure_limit) {
    return fmt::format(
        "memory pressure is {:.1f} % (full avg10), above {:.1f} %: the cache that would be "
        "dropped is in use",
        *seen.memory_pressure, policy.memory_pressure_limit);
  }
  if (seen.disk_busy && *seen.disk_busy > policy.disk_busy_limit) {
    return fmt::format("a disk is busy {:.0f} % of the time, above {:.0f} %", *seen.disk_busy,
                       policy.disk_busy_limit);
  }
  if (seen.dirty > policy.dirty_limit) {
    return fmt::format("{} of dirty pages, above the limit of {}", in_words(seen.dirty),
                       in_words(policy.dirty_limit));
  }
  return {};
}

/// True if the rung drops cache of the whole machine, not only of the zombies' ancestors.
bool takes_from_everybody(Rung rung) {
  return rung == Rung::drop_page_cache || rung == Rung::drop_slab || rung == Rung::drop_all;
}

bool drops_slab(Rung rung) { return rung == Rung::drop_slab || rung == Rung::drop_all; }

/// True unless the source tells that no zombie holds page cache.
bool may_hold_page_cache(const Observation& seen) {
  const auto may = [](const auto& one) { return !one.pages || one.pages->file != 0; };
  return seen.ancestors.empty() || std::any_of(seen.ancestors.begin(), seen.ancestors.end(), may);
}

bool has(const Observation& seen, const Policy& policy, Rung rung) {
  if (detail::forbidden_by_loss(policy, rung)) return false;
  if (rung == Rung::reap) return seen.can_reap;
  if (rung == Rung::advise) return !policy.files.empty();
  if (rung == Rung::evict) return seen.can_evict;
  if (rung == Rung::squeeze) return !seen.squeezable.empty();
  if (rung == Rung::node_reclaim) return seen.can_reclaim_nodes && may_hold_page_cache(seen);
  if (rung == Rung::reclaim) return seen.can_reclaim;
  return true;
}

bool useless(const RungHistory& rung, const Policy& policy, seconds now) {
  return rung.useless >= policy.useless_limit && rung.last && now >= *rung.last &&
         now - *rung.last < policy.max_interval;
}

std::vector<Rung> ladder(const Observation& seen, const History& history, const Policy& policy,
                         seconds now) {
  if (policy.only) return {*policy.only};
  std::vector<Rung> rungs;
  bool after_page_cache = false;
  for (const Rung rung : policy.ladder) {
    if (rung == Rung::drop_page_cache) after_page_cache = true;
    if (drops_slab(rung) && (!after_page_cache || seen.slab == zombies::SlabPins::no)) continue;
    if (!has(seen, policy, rung)) continue;
    if (policy.guards == Guards::obey && useless(history.of(rung), policy, now)) continue;
    rungs.push_back(rung);
  }
  return rungs;
}

/// Returns the first guard's objection to acting now; empty if there is none.
std::string objection(const Observation& seen, const History& history, const Policy& policy,
                      seconds now) {
  for (std::string against :
       {too_recent(history, policy, now), out_of_hours(seen, policy), too_busy(seen, policy)}) {
    if (!against.empty()) return against;
  }
  return {};
}

/// Leaves the rungs that can help where dropping caches cannot: reclaim also takes page cache that
/// processes map.
void leave_helpful(std::vector<Rung>& rungs, const Observation& seen, const Policy& policy) {
  const bool mapped = could_hold(seen.residual->file, seen);
  const auto is_useless = [mapped, &policy](Rung rung) {
    return !mapped || (rung != Rung::squeeze && rung != Rung::node_reclaim &&
                       !(rung == Rung::evict && policy.evict_mapped));
  };
  rungs.erase(std::remove_if(rungs.begin(), rungs.end(), is_useless), rungs.end());
}

std::string useless_to_drop(const Observation& seen) {
  const std::string pins = explain_pins(seen);
  return "dropping caches would free none of them" + (pins.empty() ? pins : ": " + pins);
}

/// Returns the number of zombies that appeared during these rungs.
std::uint64_t made(const std::vector<Action>& actions) {
  std::uint64_t sum = 0;
  for (const Action& action : actions) sum += action.made;
  return sum;
}

/// Returns the number of zombies that evict would have freed without its limits.
std::uint64_t for_next_action(const std::vector<Action>& done, const Policy& policy) {
  std::uint64_t sum = 0;
  for (const Action& action : done) {
    if (share_freed(action) >= policy.min_effect) sum += action.beyond_limit();
  }
  return sum;
}

/// Returns why the ladder has no rung.
std::string no_rung(const Policy& policy) {
  std::string text = "every configured rung is missing on this kernel or was useless recently";
  const auto& all = policy.ladder;
  const bool forbidden = std::any_of(all.begin(), all.end(), [&policy](Rung rung) {
    return detail::forbidden_by_loss(policy, rung);
  });
  return forbidden ? text + ", or may take no page cache from live cgroups (cache_loss = 0)" : text;
}

Plan idle(std::string reason) { return {Decision::idle, std::move(reason), {}}; }
Plan refused(const std::string& why, const std::string& against) {
  return {Decision::refused, why + ", but " + against, {}};
}

/// Formats "they hold about 21.0 MiB, dropping caches gives up 405.0 MiB of page cache".
std::string in_words(const Balance& balance) {
  return fmt::format("they hold about {}, dropping caches gives up {} of page cache",
                     in_words(balance.held), in_words(balance.given_up));
}

/// Explains why caches are not dropped although there are many zombies.
std::string not_worth_it(const Observation& seen, const Balance& balance, const Policy& policy) {
  return fmt::format(
      "but they do little harm: a read of the root's numa_stat {} {:.3f} ms{}; {}; caches are "
      "dropped only if they hold at least {:.0f} % of that (min_gain)",
      seen.read_cost_measured ? "takes" : "takes at most",
      seen.read_cost ? in_ms(*seen.read_cost) : 0, delay_in_words(seen), in_words(balance),
      policy.min_gain * 100);
}

/// Decides whether and how to act on a reason to act.
Plan plan_for(const std::string& why, const Observation& seen, const History& history,
              const Policy& policy, seconds now) {
  if (seen.pages_reparented.value_or(false) && !policy.only) {
    return idle(
        why +
        "; but this kernel hands the pages of a removed cgroup to its parent, so that pages "
        "keep no zombies; those left are kept for a while by files not yet written back, "
        "and cannot be freed from here");
  }
  auto rungs = ladder(seen, history, policy, now);
  const Balance balance = weigh(seen, policy);
  if (balance.worth == Worth::nothing && policy.guards == Guards::obey && !policy.only) {
    const bool asked = !rungs.empty();
    rungs.erase(std::remove_if(rungs.begin(), rungs.end(), takes_from_everybody), rungs.end());
    if (asked && rungs.empty()) return idle(why + ", " + not_worth_it(seen, balance, policy));
  }
  if (policy.guards == Guards::obey) {
    const std::string against = objection(seen, history, policy, now);
    if (!against.empty()) return refused(why, against);
    if (nothing_freeable(seen)) {
      leave_helpful(rungs, seen, policy);
      if (rungs.empty()) return refused(why, useless_to_drop(seen));
    }
  }
  if (rungs.empty()) return refused(why, no_rung(policy));
  const bool drops = std::any_of(rungs.begin(), rungs.end(), takes_from_everybody);
  const bool weighed = drops && balance.given_up != 0 && balance.held != 0;
  return {Decision::act, weighed ? why + "; " + in_words(balance) : why, std::move(rungs)};
}

}  // namespace

bool has_reason(const Observation& seen, const History& history, const Policy& policy,
                seconds now) {
  History noted = history;
  note(noted, seen, policy, now);
  return !need(seen, noted, policy).why.empty();
}

Balance weigh(const Observation& seen, const Policy& policy) noexcept {
  Balance balance;
  balance.held = seen.kernel_memory + (seen.residual ? seen.residual->freeable() : 0);
  balance.given_up = seen.page_cache;
  const auto held = static_cast<double>(balance.held);
  constexpr int cheap = 10;
  const bool harmless = lets_others_run(seen, policy);
  if (!seen.read_cost || (*seen.read_cost * cheap > policy.read_cost_limit && !harmless)) {
    balance.worth = Worth::reads;
  } else if (seen.zombies.kernel >= policy.memcgs_high) {
    balance.worth = Worth::ids;
  } else if (seen.memory != 0 &&
             held * 100 > policy.dead_memory * static_cast<double>(seen.memory)) {
    balance.worth = Worth::memory;
  } else if (held >= policy.min_gain * static_cast<double>(balance.given_up)) {
    balance.worth = Worth::gain;
  }
  return balance;
}

std::vector<Rung> default_ladder() {
  return {Rung::reap,         Rung::advise,  Rung::evict,           Rung::squeeze,
          Rung::node_reclaim, Rung::reclaim, Rung::drop_page_cache, Rung::drop_slab};
}

std::string_view to_string(Rung rung) noexcept {
  switch (rung) {
    case Rung::reap:
      return "memcg_reaper";
    case Rung::advise:
      return "fadvise";
    case Rung::evict:
      return "evict";
    case Rung::squeeze:
      return "squeeze";
    case Rung::node_reclaim:
      return "node_reclaim";
    case Rung::reclaim:
      return "memory.reclaim";
    case Rung::drop_page_cache:
      return "drop_caches=1";
    case Rung::drop_slab:
      return "drop_caches=2";
    case Rung::drop_all:
      return "drop_caches=3";
  }
  return "unknown";
}

std::optional<Rung> rung_named(std::string_view name) noexcept {
  for (std::size_t i = 0; i < rung_count; ++i) {
    const auto rung = static_cast<Rung>(i);
    if (to_string(rung) == name) return rung;
  }
  return std::nullopt;
}

bool Window::contains(LocalTime time) const noexcept {
  const unsigned yesterday = (time.weekday + 6) % 7;
  if (from < to) return days[time.weekday] && from <= time.minute && time.minute < to;
  return (days[time.weekday] && from <= time.minute) || (days[yesterday] && time.minute < to);
}

std::string_view to_string(Decision decision) noexcept {
  switch (decision) {
    case Decision::idle:
      return "idle";
    case Decision::act:
      return "act";
    case Decision::refused:
      return "refused";
  }
  return "unknown";
}

std::string_view to_string(End end) noexcept {
  switch (end) {
    case End::done:
      return "done";
    case End::timed_out:
      return "timed_out";
    case End::failed:
      return "failed";
    case End::cancelled:
      return "cancelled";
  }
  return "unknown";
}

std::string_view to_string(Obstacle obstacle) noexcept {
  constexpr std::array<std::string_view, obstacle_count> names = {
      "mapped", "deleted", "memory_file",    "metadata", "unreachable",
      "limit",  "busy",    "process_memory", "no_page"};
  return names[static_cast<std::size_t>(obstacle)];
}

std::string_view to_string(Effect effect) noexcept {
  switch (effect) {
    case Effect::none:
      return "none";
    case Effect::effective:
      return "effective";
    case Effect::ineffective:
      return "ineffective";
  }
  return "unknown";
}

Plan decide(const Observation& seen, const History& history, const Policy& policy, seconds now) {
  const Need needed = need(seen, history, policy);
  if (!needed.why.empty()) {
    Plan plan = plan_for(needed.why, seen, history, policy, now);
    plan.for_read = needed.read;
    return plan;
  }
  std::string reason =
      fmt::format("{} zombies, fewer than {}", seen.zombies.low, policy.zombies_high);
  if (seen.zombies.low == 0) reason = "no zombies";
  if (seen.read_cost && *seen.read_cost > policy.read_cost_limit) {
    reason += fmt::format("; a read of the root's numa_stat {} {:.1f} ms",
                          seen.read_cost_measured ? "takes" : "may take", in_ms(*seen.read_cost));
    reason +=
        lets_others_run(seen, policy)
            ? fmt::format(", but others wait at most {:.1f} ms for it", in_ms(*seen.read_delay))
            : ", but not because of zombies";
  }
  return idle(std::move(reason));
}

std::uint64_t Action::freed() const noexcept {
  return std::min(less(zombies_before + made, zombies_after), zombies_before);
}

std::uint64_t Action::beyond_limit() const noexcept {
  std::uint64_t sum = 0;
  for (const Left& one : left) {
    if (one.why == Obstacle::limit) sum += one.zombies;
  }
  return sum;
}

std::uint64_t freed(const std::vector<Action>& actions) noexcept {
  std::uint64_t sum = 0;
  for (const Action& action : actions) sum += action.freed();
  return sum;
}

std::optional<std::uint64_t> given_up(const std::vector<Action>& actions) noexcept {
  std::optional<std::uint64_t> sum;
  for (const Action& action : actions) {
    if (action.given_up) sum = sum.value_or(0) + *action.given_up;
  }
  return sum;
}

bool climb_on(const Observation& before, const std::vector<Action>& done, Rung next,
              const Policy& policy) {
  if (policy.only) return true;
  if (drops_slab(next)) {
    if (before.slab == zombies::SlabPins::no) return false;
    // If the rung was not tried, it was useless recently.
    const auto page_cache = std::find_if(done.begin(), done.end(), [](const Action& action) {
      return action.rung == Rung::drop_page_cache;
    });
    if (page_cache != done.end() &&
        (page_cache->end != End::done || share_freed(*page_cache) >= policy.min_effect)) {
      return false;
    }
  }
  if (done.empty()) return true;
  // If the cost of a read was the reason, there may be fewer zombies than zombies_low from the
  // start.
  const std::uint64_t enough = std::min(policy.zombies_low, before.zombies.low / 2);
  const std::uint64_t left = less(done.back().zombies_after, made(done));
  if (takes_from_everybody(next)) return less(left, for_next_action(done, policy)) > enough;
  // The next action might come too late for the zombies that appeared during this one.
  const std::uint64_t late = (policy.zombies_low + policy.zombies_high) / 2;
  return left > enough || done.back().zombies_after >= late;
}

std::string explain_pins(const Observation& seen) {
  if (!seen.residual || seen.zombies.low == 0) return {};
  const zombies::Residual& left = *seen.residual;
  struct Pin {
    std::uint64_t bytes;
    const char* what;
  };
  std::vector<Pin> pins = {
      {left.shmem,
       "of files on tmpfs or shared memory keep them alive: remove the files or unmount the tmpfs"},
      {less(left.mapped, left.shmem),
       "of files mapped by running processes keep them alive: restart those processes"},
      {left.unevictable,
       "locked in memory (mlock) keep them alive: stop or restart the processes that locked it"},
      {less(left.anon, left.shmem),
       "belong to processes that were moved to another cgroup since: restart them"},
      {left.surely_freeable(), "of page cache keep them alive: dropping it frees them"},
  };
  std::stable_sort(pins.begin(), pins.end(),
                   [](const Pin& a, const Pin& b) { return a.bytes > b.bytes; });
  std::string text;
  for (const Pin& pin : pins) {
    if (!could_hold(pin.bytes, seen)) continue;
    if (!text.empty()) text += "; ";
    text += in_words(pin.bytes) + " " + pin.what;
  }
  return text;
}

}  // namespace cgctl::mitigation
