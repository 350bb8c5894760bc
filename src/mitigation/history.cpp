// SPDX-FileCopyrightText: The cgctl authors
// SPDX-License-Identifier: MIT
#include <algorithm>
#include <cmath>

#include "cgctl/mitigation_policy.hpp"

namespace cgctl::mitigation {
namespace {

using std::chrono::duration;
using std::chrono::seconds;

/// A prediction covers at most this many times the memory cgroups of the probe.
constexpr double farthest = 2;
constexpr seconds slowly = std::chrono::minutes(10);
/// The recent growth rises sooner than it falls: an action that comes late is worse than one that
/// comes early.
constexpr seconds quickly_up(20);
constexpr seconds quickly_down(30);
/// The time for which the recent growth is expected to last.
constexpr seconds lasting = std::chrono::minutes(1);

double share(std::uint64_t part, std::uint64_t whole) noexcept {
  return whole == 0 ? 0 : static_cast<double>(part) / static_cast<double>(whole);
}

/// Moves a rate towards the one seen for the last `passed` seconds.
void smooth(double& rate, double seen, double passed, seconds over) noexcept {
  const double weight = 1 - std::exp(-passed / duration<double>(over).count());
  rate += weight * (seen - rate);
}

/// Updates the growth; a fall in the number of zombies counts as no growth.
void note_growth(History& history, std::uint64_t zombies, seconds now) {
  const Sample last = history.sample;
  history.sample = {now, zombies};
  if (!last.at || now <= *last.at) return;
  const double passed = duration<double>(now - *last.at).count();
  const double rate =
      zombies > last.zombies ? static_cast<double>(zombies - last.zombies) / passed : 0;
  smooth(history.growth, rate, passed, slowly);
  const bool rises = rate > history.recent_growth;
  smooth(history.recent_growth, rate, passed, rises ? quickly_up : quickly_down);
}

/// Returns `zombies` without those that the rung did not reach within its limits.
std::uint64_t in_reach(const Action& action, std::uint64_t zombies) noexcept {
  return zombies - std::min<std::uint64_t>(zombies, action.beyond_limit());
}

void end_rung(RungHistory& rung, const Action& action, const Policy& policy, seconds now) {
  rung.given_up += action.given_up.value_or(0);
  if (action.end == End::cancelled) return;
  rung.last = now;
  if (action.end == End::failed) {
    ++rung.failed;
    ++rung.useless;
  } else if (share_freed(action) >= policy.min_effect) {
    ++rung.effective;
    rung.useless = 0;
  } else {
    ++rung.ineffective;
    ++rung.useless;
  }
}

}  // namespace

double share_freed(const Action& action) noexcept {
  return std::min(share(action.freed(), in_reach(action, action.zombies_before)), 1.0);
}

Effect effect_of(const std::vector<Action>& actions, const Policy& policy) noexcept {
  if (actions.empty() || actions.front().zombies_before == 0) return Effect::none;
  // Zombies may go by themselves: if all rungs failed, none of them was freed.
  const bool any = std::any_of(actions.begin(), actions.end(),
                               [](const Action& action) { return action.end != End::failed; });
  std::uint64_t reached = actions.front().zombies_before;
  for (const Action& action : actions) reached = in_reach(action, reached);
  const double part = share(freed(actions), reached);
  return any && part >= policy.min_effect ? Effect::effective : Effect::ineffective;
}

double expected(const History& history, seconds within) noexcept {
  const double soon = duration<double>(std::min(within, lasting)).count();
  return std::max(history.growth * duration<double>(within).count(), history.recent_growth * soon);
}

bool probe_due(const History& history, const Policy& policy, seconds now) {
  const auto& last = history.probe.at;
  return !last || *last > now || now - *last >= policy.probe_interval;
}

std::optional<std::chrono::nanoseconds> predicted_cost(const History& history,
                                                       std::uint64_t memcgs) {
  const Probe& probe = history.probe;
  if (!probe.at || probe.memcgs == 0) return std::nullopt;
  const double times =
      std::clamp(static_cast<double>(memcgs) / static_cast<double>(probe.memcgs), 1.0, farthest);
  return std::chrono::nanoseconds(
      static_cast<std::int64_t>(static_cast<double>(probe.cost.count()) * times));
}

std::optional<std::chrono::nanoseconds> predicted_delay(const History& history,
                                                        std::chrono::nanoseconds cost) {
  const Probe& probe = history.probe;
  if (!probe.at || !probe.delay) return std::nullopt;
  // If others waited for most of the read, they wait for most of a longer one.
  constexpr int most = 2;
  return *probe.delay * most > probe.cost ? cost : std::min(*probe.delay, cost);
}

void note(History& history, const Observation& seen, const Policy& policy, seconds now) {
  note_growth(history, seen.zombies.low, now);
  if (seen.zombies.low >= policy.zombies_high) history.alarmed = true;
  if (seen.zombies.low <= policy.zombies_low) history.alarmed = false;
  if (seen.read_cost && seen.read_cost_measured) {
    const std::uint64_t memcgs = seen.memcgs_at_read.value_or(seen.zombies.kernel);
    history.probe = {now, *seen.read_cost, memcgs, seen.read_delay};
  }
}

std::size_t actions_accounted(const History& history, seconds now) {
  return static_cast<std::size_t>(
      std::count_if(history.actions.begin(), history.actions.end(),
                    [now](seconds at) { return now - at < accounted; }));
}

void begin(History& history, seconds start) {
  history.last_action = start;
  auto& actions = history.actions;
  actions.erase(std::remove_if(actions.begin(), actions.end(),
                               [start](seconds at) { return start - at >= accounted; }),
                actions.end());
  actions.push_back(start);
}

void end(History& history, const std::vector<Action>& actions, Effect effect, const Policy& policy,
         seconds now) {
  if (!history.actions.empty() && now >= history.actions.back()) {
    history.action_time =
        std::max(now - history.actions.back(), history.action_time.value_or(seconds(0)) / 2);
  }
  history.last_action = now;
  if (effect == Effect::ineffective) ++history.ineffective;
  if (effect == Effect::effective) history.ineffective = 0;
  for (const Action& action : actions) end_rung(history.of(action.rung), action, policy, now);
  if (!actions.empty()) history.sample = {now, actions.back().zombies_after};
}

}  // namespace cgctl::mitigation
