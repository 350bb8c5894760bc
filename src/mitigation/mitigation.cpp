// SPDX-FileCopyrightText: The cgctl authors
// SPDX-License-Identifier: MIT
#include "cgctl/mitigation.hpp"

#include <poll.h>

#include <algorithm>
#include <chrono>
#include <optional>
#include <vector>

#include "mitigation/rungs.hpp"
#include "mitigation/settling.hpp"

namespace cgctl::mitigation {
namespace {

using Clock = std::chrono::steady_clock;
using detail::Counted;
using detail::Settling;
using std::chrono::milliseconds;

/// Waits; true if `stop` became readable within the time.
bool stopped_within(milliseconds time, int stop) {
  pollfd watched{stop, POLLIN, 0};
  return ::poll(&watched, 1, static_cast<int>(time.count())) > 0 && watched.revents != 0;
}

constexpr milliseconds between_counts(100);

/// Counts repeatedly until `enough` is true of a count and its time since `start`, or until `stop`
/// is readable.
template <class Enough>
Status count_until(zombies::Counter& counter, int stop, milliseconds pause, Clock::time_point start,
                   const Enough& enough) {
  for (;;) {
    const auto count = counter.count();
    if (!count) return fail(count.error());
    if (enough(Counted{Clock::now() - start, count->low})) return {};
    if (stopped_within(pause, stop)) return {};
  }
}

milliseconds pause_of(const Policy& policy) {
  return std::min(between_counts, std::chrono::ceil<milliseconds>(policy.still_for));
}

/// The number of zombies and the rate at which new ones appear, per second.
struct Tide {
  std::uint64_t zombies = 0;
  double rate = 0;
};

/// Watches the zombies for half of Policy::still_for before the action, because the observation is
/// older: the attribution came after its count. If they cannot be counted, the observed number
/// `seen` is used.
Tide tide_before(zombies::Counter& counter, const Policy& policy, std::uint64_t seen, int stop) {
  std::optional<Counted> first;
  Counted last{{}, seen};
  (void)count_until(counter, stop, pause_of(policy), Clock::now(), [&](const Counted& count) {
    if (!first) first = count;
    last = count;
    return count.since >= policy.still_for / 2;
  });
  return {last.zombies, first ? detail::rise(*first, last) : 0};
}

End end_of(const Error& error) {
  if (error.kind == errc::timed_out) return End::timed_out;
  return error.kind == errc::cancelled ? End::cancelled : End::failed;
}

/// Waits until the count has settled after the rung that began at `start`, and updates `tide`. If
/// the zombies cannot be counted, `tide` is unchanged and the reason is returned.
Status settle(zombies::Counter& counter, const Policy& policy, int stop, Clock::time_point start,
              Tide& tide, Action& action) {
  Settling settling(policy, tide.zombies, tide.rate);
  auto status =
      count_until(counter, stop, pause_of(policy), start, [&settling](const Counted& count) {
        settling.note(count);
        return settling.over();
      });
  if (!status) return status;
  action.made = settling.made();
  action.zombies_after = settling.after();
  tide = {settling.after(), settling.rate()};
  return {};
}

/// Returns the bytes of page cache lost between two figures of page_cache().
std::optional<std::uint64_t> fall(const Result<std::uint64_t>& before,
                                  const Result<std::uint64_t>& after) {
  if (!before || !after || *before == 0) return std::nullopt;
  return *before - std::min(*before, *after);
}

/// Takes one rung. If the zombies left cannot be counted, `uncounted` becomes the reason and their
/// number counts as unchanged.
Action climb(const Host& host, Rung rung, zombies::Counter& counter, const Policy& policy,
             const Observation& seen, Tide& tide, int stop, Status& uncounted) {
  Action action;
  action.rung = rung;
  action.zombies_before = action.zombies_after = tide.zombies;
  if (stopped_within(milliseconds(0), stop)) {
    action.end = End::cancelled;
    return action;
  }
  const auto cache = page_cache(host);
  const auto start = Clock::now();
  const auto took = detail::take(host, rung, seen, policy, stop, action.left);
  action.given_up = fall(cache, page_cache(host));
  if (took) {
    action.duration = *took;
  } else {
    action.end = end_of(took.error());
    if (action.end == End::timed_out) action.duration = policy.deadline;
    action.status = fail(took.error());
  }
  if (auto status = settle(counter, policy, stop, start, tide, action); !status) {
    uncounted = std::move(status);
  }
  if (action.end == End::done && stopped_within(milliseconds(0), stop)) {
    action.end = End::cancelled;
  }
  return action;
}

/// Returns the figures that are known without another observation.
Observation unseen(const Observation& before, std::uint64_t zombies,
                   const std::vector<Action>& actions) {
  Observation after = before;
  after.page_cache -= std::min(after.page_cache, given_up(actions).value_or(0));
  after.zombies.low = zombies;
  after.zombies.high = std::max(zombies, before.zombies.high);
  after.read_cost.reset();
  after.read_cost_measured = false;
  after.read_delay.reset();
  after.residual.reset();
  after.source.reset();
  return after;
}

bool all_failed(const std::vector<Action>& actions) {
  return !actions.empty() && std::all_of(actions.begin(), actions.end(), [](const Action& action) {
    return action.end == End::failed;
  });
}

}  // namespace

Result<Outcome> carry_out(const Host& host, numa::CostGuard& guard, const Plan& plan,
                          const Policy& policy, const Observation& before, int stop) {
  // The counts are compared with each other and with the one before, so they have one source.
  auto counter = zombies::Counter::open(host, 0, zombies::Counter::Use::directories);
  if (!counter) return fail(counter.error());
  Outcome outcome;
  Tide tide = tide_before(*counter, policy, before.zombies.low, stop);
  for (const Rung rung : plan.ladder) {
    if (!climb_on(before, outcome.actions, rung, policy)) continue;
    outcome.actions.push_back(
        climb(host, rung, *counter, policy, before, tide, stop, outcome.status));
    if (outcome.actions.back().end == End::cancelled) {
      outcome.after = unseen(before, tide.zombies, outcome.actions);
      return outcome;
    }
    if (!outcome.status) break;
  }
  if (all_failed(outcome.actions)) outcome.status = outcome.actions.back().status;
  outcome.after = unseen(before, tide.zombies, outcome.actions);
  if (outcome.status) {
    if (auto after = observe(host, guard, policy, {}, Intent::look)) {
      outcome.after = std::move(*after);
    } else {
      outcome.status = fail(after.error());
    }
  }
  outcome.effect = effect_of(outcome.actions, policy);
  if (outcome.effect == Effect::ineffective) outcome.explanation = explain_pins(outcome.after);
  return outcome;
}

}  // namespace cgctl::mitigation
