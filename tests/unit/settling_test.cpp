// SPDX-FileCopyrightText: The cgctl authors
// SPDX-License-Identifier: MIT
#include "mitigation/settling.hpp"

#include <gtest/gtest.h>

#include <chrono>
#include <cstdint>
#include <functional>

#include "../simulation/churn.hpp"

namespace settling_test {

using namespace std::chrono_literals;
using namespace cgctl;
using detail::Counted;
using detail::Settling;
using mitigation::Action;
using mitigation::Effect;
using mitigation::End;
using mitigation::Policy;
using mitigation::Rung;

struct Settled {
  Action action;
  std::chrono::milliseconds after{};
};

/// Follows the number of zombies, a function of the seconds since the rung, until the settling is
/// over.
Settled follow(double rate, const std::function<double(double)>& zombies) {
  const auto number = [&](std::chrono::milliseconds at) {
    return static_cast<std::uint64_t>(zombies(std::chrono::duration<double>(at).count()));
  };
  Settling settling({}, number(0ms), rate);
  auto now = 0ms;
  do {
    now += 100ms;
    settling.note({now, number(now)});
  } while (!settling.over() && now < 1h);
  Action action{Rung::drop_page_cache, End::done, 1s, number(0ms), settling.after()};
  action.made = settling.made();
  return {action, now};
}

TEST(Settling, EndsTwoSecondsAfterTheLastFallWhereNothingComes) {
  const auto settled = follow(0, [](double at) { return at < 0.5 ? 1000 : 10; });
  EXPECT_EQ(settled.after, 2500ms);
  EXPECT_EQ(settled.action.made, 0U);
  EXPECT_EQ(settled.action.freed(), 990U);
}

TEST(Settling, WaitsFourSecondsForAFallToBegin) {
  EXPECT_EQ(follow(0, [](double) { return 1000; }).after, 4100ms);
  EXPECT_EQ(follow(42, [](double at) { return 1000 + 42 * at; }).after, 4100ms);
  EXPECT_EQ(follow(0, [](double at) { return at < 3.5 ? 1000 : 0; }).action.freed(), 1000U);
}

TEST(Settling, NeverTakesLongerThanItsLimit) {
  EXPECT_EQ(follow(0, [](double at) { return 10000 - 150 * at; }).after,
            Policy{}.settle_limit + 100ms);
}

TEST(Settling, CountsFreedZombiesWhileOthersCome) {
  for (const double rate : {1.0, 10.0, 42.0, 50.0, 200.0}) {
    const auto settled =
        follow(rate, [&](double at) { return rate * at + (at < 3 ? 1059 : 59); }).action;
    EXPECT_NEAR(static_cast<double>(settled.freed()), 1000, 20) << rate;
    EXPECT_GE(mitigation::share_freed(settled), 0.9) << rate;
  }
}

TEST(Settling, NoticesThatNothingWasFreedDuringChurn) {
  for (const double rate : {1.0, 10.0, 42.0, 50.0, 200.0}) {
    const auto settled = follow(rate, [&](double at) { return 1000 + rate * at; }).action;
    EXPECT_LE(mitigation::share_freed(settled), 0.01) << rate;
  }
}

TEST(Settling, DoesNotMistakeTheEndOfChurnForAnEffect) {
  const auto settled = follow(200, [](double) { return 1000; }).action;
  EXPECT_EQ(settled.made, 0U);
  EXPECT_EQ(settled.freed(), 0U);
}

TEST(Settling, DoesNotMistakeTheStartOfChurnForAnEffect) {
  const auto settled = follow(0, [](double at) { return 1000 + 200 * at; }).action;
  EXPECT_EQ(settled.freed(), 0U);
}

TEST(Settling, CountsTheTimeOfTheRung) {
  Settling settling({}, 1000, 10);
  for (int second = 30; second < 34; ++second) {
    settling.note({std::chrono::seconds(second), static_cast<std::uint64_t>(10 * second)});
  }
  EXPECT_TRUE(settling.over());
  EXPECT_EQ(settling.made(), 330U);
}

TEST(Freed, IsAtMostTheNumberBefore) {
  Action action{Rung::drop_page_cache, End::done, 1s, 100, 50};
  action.made = 500;
  EXPECT_EQ(action.freed(), 100U);
}

TEST(EffectOf, IncludesZombiesThatCameMeanwhile) {
  Action action{Rung::drop_page_cache, End::done, 1s, 1059, 1275};
  EXPECT_EQ(mitigation::effect_of({action}, {}), Effect::ineffective);
  action.made = 1216;
  EXPECT_EQ(mitigation::effect_of({action}, {}), Effect::effective);
  action.end = End::failed;
  EXPECT_EQ(mitigation::effect_of({action}, {}), Effect::ineffective);
  EXPECT_EQ(mitigation::effect_of({}, {}), Effect::none);
}

TEST(ClimbOn, IgnoresZombiesThatCameMeanwhile) {
  mitigation::Observation before;
  before.zombies.low = 1000;
  Action action{Rung::reclaim, End::done, 1s, 1000, 700};
  EXPECT_TRUE(mitigation::climb_on(before, {action}, Rung::drop_page_cache, {}));
  action.made = 400;
  EXPECT_FALSE(mitigation::climb_on(before, {action}, Rung::drop_page_cache, {}));
}

TEST(ClimbOn, MildlyFreesZombiesThatCameMeanwhileIfTheNextActionWouldBeTooLate) {
  mitigation::Observation before;
  before.zombies.low = 1000;
  Action action{Rung::evict, End::done, 1s, 1000, 749};
  action.made = 400;
  EXPECT_FALSE(mitigation::climb_on(before, {action}, Rung::squeeze, {}));
  action.zombies_after = 750;
  EXPECT_TRUE(mitigation::climb_on(before, {action}, Rung::squeeze, {}));
  EXPECT_FALSE(mitigation::climb_on(before, {action}, Rung::drop_page_cache, {}));
}

/// Returns the result of an evict that its limits kept from 8,000 of 10,000 zombies.
Action evict_that_was_cut(std::uint64_t zombies_after) {
  Action action{Rung::evict, End::done, 1s, 10'000, zombies_after};
  action.left.push_back({mitigation::Obstacle::limit, 8000, 8000, 8000, ""});
  action.left.push_back({mitigation::Obstacle::mapped, 900, 900, 900, ""});
  return action;
}

TEST(ShareFreed, LeavesOutWhatEvictDidNotReachWithinItsLimits) {
  const Action useful = evict_that_was_cut(9100);
  EXPECT_EQ(useful.beyond_limit(), 8000U);
  EXPECT_DOUBLE_EQ(mitigation::share_freed(useful), 0.45);
  EXPECT_EQ(mitigation::effect_of({useful}, {}), Effect::effective);
  EXPECT_EQ(mitigation::effect_of({evict_that_was_cut(9900)}, {}), Effect::ineffective);
  mitigation::History history;
  mitigation::end(history, {useful}, Effect::effective, {}, 1h);
  EXPECT_EQ(history.of(Rung::evict).effective, 1U);
  EXPECT_EQ(history.of(Rung::evict).useless, 0U);
}

TEST(ClimbOn, LeavesToTheNextActionWhatEvictDidNotReachWithinItsLimits) {
  mitigation::Observation before;
  before.zombies.low = 10'000;
  Policy policy;
  policy.zombies_low = 1500;
  const auto climbs = [&](const Action& done, Rung next) {
    return mitigation::climb_on(before, {done}, next, policy);
  };
  const Action useful = evict_that_was_cut(9100);
  EXPECT_FALSE(climbs(useful, Rung::drop_page_cache));
  EXPECT_TRUE(climbs(useful, Rung::reclaim)) << "it costs others nothing";
  EXPECT_TRUE(climbs(evict_that_was_cut(9900), Rung::drop_page_cache)) << "no progress";
  policy.zombies_low = 500;
  EXPECT_TRUE(climbs(useful, Rung::drop_page_cache)) << "900 zombies cannot be evicted";
}

Policy every_twenty_seconds() {
  Policy policy;
  policy.min_interval = 20s;
  policy.actions_a_day = 1000;
  return policy;
}

TEST(MitigationUnderChurn, IsEffectiveAndKeepsZombiesBounded) {
  for (const double rate : {1.0, 10.0, 42.0, 50.0, 200.0}) {
    for (const auto delay : {0s, 1s, 3s}) {
      const auto result = simulation::run_churn({rate, delay, true}, every_twenty_seconds());
      EXPECT_GE(result.actions, 3U) << rate;
      EXPECT_EQ(result.effective, result.actions) << rate << " after " << delay.count() << " s";
      EXPECT_EQ(result.slab_drops, 0U) << rate << " after " << delay.count() << " s";
      // At most 60 s of churn: the time until the next check, the settling, and min_interval.
      const double most = 1000 + rate * 60;
      EXPECT_LE(static_cast<double>(result.most_zombies), most) << rate;
    }
  }
}

TEST(MitigationUnderChurn, KeepsZombiesBelowTheLimit) {
  Policy policy = every_twenty_seconds();
  policy.zombies_high = 2000;
  policy.zombies_low = 500;
  for (const double rate : {10.0, 20.0, 50.0}) {
    for (const auto delay : {0s, 1s, 3s}) {
      const auto result = simulation::run_churn({rate, delay, true}, policy);
      EXPECT_LT(result.most_zombies, policy.zombies_high) << rate << " " << delay.count() << " s";
      EXPECT_EQ(result.effective, result.actions) << rate;
    }
  }
}

TEST(MitigationUnderChurn, BacksOffWhereNothingIsFreed) {
  for (const double rate : {10.0, 42.0, 200.0}) {
    const auto result = simulation::run_churn({rate, 3s, false}, every_twenty_seconds());
    EXPECT_EQ(result.effective, 0U) << rate;
    EXPECT_EQ(result.actions, mitigation::Policy{}.useless_limit) << rate;
  }
}

}  // namespace settling_test
