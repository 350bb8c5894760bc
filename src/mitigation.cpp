// SPDX-FileCopyrightText: The cgctl authors
// SPDX-License-Identifier: MIT
#include "cgctl/mitigation.hpp"

#include <poll.h>

#include <algorithm>
#include <chrono>
#include <optional>
#include <vector>

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

/// `uncounted` becomes the reason why it is not known how many zombies are left; then they are
/// taken for as many as before.
Action climb(const Host& host, Rung rung, zombies::Counter& counter, const Policy& policy,
             const Observation& seen, std::uint64_t zombies_before, int stop, Status& uncounted) {
  Action action;
  action.rung = rung;
  action.zombies_before = action.zombies_after = zombies_before;
  if (stopped_within(milliseconds(0), stop)) {
    action.end = End::cancelled;
    return action;
  }
  const auto took = detail::take(host, rung, seen, policy, stop);
  if (took) {
    action.duration = *took;
  } else {
    action.end = end_of(took.error());
    if (action.end == End::timed_out) action.duration = policy.deadline;
    action.status = fail(took.error());
  }
  const auto left = settle(counter, policy, stop);
  if (left) {
    action.zombies_after = left->low;
  } else {
    uncounted = fail(left.error());
  }
  if (action.end == End::done && stopped_within(milliseconds(0), stop)) {
    action.end = End::cancelled;
  }
  return action;
}

/// What is known without another look.
Observation unseen(const Observation& before, std::uint64_t zombies) {
  Observation after = before;
  after.zombies.low = zombies;
  after.zombies.high = std::max(zombies, before.zombies.high);
  after.read_cost.reset();
  after.read_cost_measured = false;
  after.residual.reset();
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
  auto counter = zombies::Counter::open(host);
  if (!counter) return fail(counter.error());
  Outcome outcome;
  std::uint64_t zombies = before.zombies.low;
  for (const Rung rung : plan.ladder) {
    if (!climb_on(before, outcome.actions, rung, policy)) continue;
    outcome.actions.push_back(
        climb(host, rung, *counter, policy, before, zombies, stop, outcome.status));
    zombies = outcome.actions.back().zombies_after;
    if (outcome.actions.back().end == End::cancelled) {
      outcome.after = unseen(before, zombies);
      return outcome;
    }
    if (!outcome.status) break;
  }
  if (all_failed(outcome.actions)) outcome.status = outcome.actions.back().status;
  outcome.after = unseen(before, zombies);
  if (outcome.status) {
    if (auto after = observe(host, guard, policy, {}, Intent::look)) {
      outcome.after = std::move(*after);
    } else {
      outcome.status = fail(after.error());
    }
  }
  if (outcome.actions.empty() || before.zombies.low == 0) return outcome;
  // Some go by themselves: no rung that failed freed them.
  const bool enough =
      !all_failed(outcome.actions) && share_freed(before.zombies.low, zombies) >= policy.min_effect;
  outcome.effect = enough ? Effect::effective : Effect::ineffective;
  if (!enough) outcome.explanation = explain_pins(outcome.after);
  return outcome;
}

}  // namespace cgctl::mitigation
