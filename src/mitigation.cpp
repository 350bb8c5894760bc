// SPDX-FileCopyrightText: The cgctl authors
// SPDX-License-Identifier: MIT
#include "cgctl/mitigation.hpp"

#include <poll.h>

#include <algorithm>
#include <chrono>

#include "rungs.hpp"

namespace cgctl::mitigation {
namespace {

using Clock = std::chrono::steady_clock;
using std::chrono::milliseconds;

/// Whether `stop` became readable within the time.
bool stopped_within(milliseconds time, int stop) {
  pollfd watched{stop, POLLIN, 0};
  return ::poll(&watched, 1, static_cast<int>(time.count())) > 0 && watched.revents != 0;
}

Result<zombies::Count> settle(zombies::Counter& counter, const Policy& policy, int stop) {
  const auto give_up = Clock::now() + policy.settle_limit;
  auto last = counter.count();
  auto changed = Clock::now();
  while (last) {
    const auto now = Clock::now();
    if (now - changed >= policy.still_for || now >= give_up) return last;
    const auto rest = std::chrono::ceil<milliseconds>(policy.still_for);
    if (stopped_within(std::min(milliseconds(100), rest), stop)) return last;
    auto next = counter.count();
    if (next && next->low != last->low) changed = Clock::now();
    last = std::move(next);
  }
  return last;
}

End end_of(const Error& error) {
  if (error.kind == errc::timed_out) return End::timed_out;
  return error.kind == errc::cancelled ? End::cancelled : End::failed;
}

Result<Action> climb(const Host& host, Rung rung, zombies::Counter& counter, const Policy& policy,
                     const Observation& seen, std::uint64_t zombies_before, int stop) {
  Action action;
  action.rung = rung;
  action.zombies_before = zombies_before;
  const auto took = detail::take(host, rung, seen, policy, stop);
  if (took) {
    action.duration = *took;
  } else {
    action.end = end_of(took.error());
    if (action.end == End::timed_out) action.duration = policy.deadline;
    action.error = took.error();
  }
  const auto left = settle(counter, policy, stop);
  if (!left) return fail(left.error());
  action.zombies_after = left->low;
  if (action.end == End::done && stopped_within(milliseconds(0), stop)) {
    action.end = End::cancelled;
  }
  return action;
}

}  // namespace

Result<Outcome> carry_out(const Host& host, numa::CostGuard& guard, const Plan& plan,
                          const Policy& policy, const Observation& before, int stop) {
  auto counter = zombies::Counter::open(host);
  if (!counter) return fail(counter.error());
  Outcome outcome;
  std::uint64_t zombies = before.zombies.low;
  for (const Rung rung : plan.ladder) {
    if (!climb_on(before, outcome.actions, rung, policy)) continue;
    auto action = climb(host, rung, *counter, policy, before, zombies, stop);
    if (!action) return fail(action.error());
    zombies = action->zombies_after;
    outcome.actions.push_back(std::move(*action));
    if (outcome.actions.back().end == End::cancelled) {
      outcome.after = before;
      outcome.after.zombies.low = zombies;
      return outcome;
    }
  }
  const bool all_failed =
      !outcome.actions.empty() &&
      std::all_of(outcome.actions.begin(), outcome.actions.end(),
                  [](const Action& action) { return action.end == End::failed; });
  if (all_failed) return fail(*outcome.actions.back().error);

  auto after = observe(host, guard, policy);
  if (!after) return fail(after.error());
  outcome.after = std::move(*after);
  if (outcome.actions.empty() || before.zombies.low == 0) return outcome;
  const bool enough = share_freed(before.zombies.low, zombies) >= policy.min_effect;
  outcome.effect = enough ? Effect::effective : Effect::ineffective;
  if (!enough) outcome.explanation = explain_pins(outcome.after);
  return outcome;
}

}  // namespace cgctl::mitigation
