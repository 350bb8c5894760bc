// SPDX-FileCopyrightText: The cgctl authors
// SPDX-License-Identifier: MIT
#include <gtest/gtest.h>

#include <algorithm>
#include <chrono>
#include <optional>
#include <string>
#include <vector>

#include "cgctl/mitigation.hpp"
#include "detail/wake_up_delay.hpp"

namespace mitigation_policy_test {

using namespace std::chrono_literals;
using namespace cgctl::mitigation;
using cgctl::zombies::Residual;
using cgctl::zombies::SlabPins;

constexpr std::uint64_t mebibyte = 1 << 20;
constexpr std::chrono::seconds now = 100h;

/// Returns an observation with `number` zombies and nothing else.
Observation with_zombies(std::uint64_t number) {
  Observation seen;
  seen.zombies.low = number;
  seen.zombies.high = number;
  seen.zombies.live = 50;
  seen.zombies.kernel = number + 50;
  return seen;
}

/// Returns an observation of 1,000 zombies that only the pages in `left` keep alive.
Observation held_by(const Residual& left) {
  Observation seen = with_zombies(1000);
  seen.slab = SlabPins::no;
  seen.residual = left;
  return seen;
}

Plan decide_first(const Observation& seen, const Policy& policy = {}) {
  return decide(seen, {}, policy, now);
}

bool has(const std::string& text, const std::string& part) {
  return text.find(part) != std::string::npos;
}

TEST(Decide, IsIdleWithoutZombies) {
  const Plan plan = decide_first(with_zombies(0));
  EXPECT_EQ(plan.decision, Decision::idle);
  EXPECT_EQ(plan.reason, "no zombies");
  EXPECT_TRUE(plan.ladder.empty());
}

TEST(Decide, IsIdleBelowTheHighMark) {
  const Plan plan = decide_first(with_zombies(999));
  EXPECT_EQ(plan.decision, Decision::idle);
  EXPECT_EQ(plan.reason, "999 zombies, fewer than 1000");
}

TEST(Decide, ActsFromTheHighMarkOn) {
  const Plan plan = decide_first(with_zombies(1000));
  EXPECT_EQ(plan.decision, Decision::act);
  EXPECT_EQ(plan.reason, "1000 zombies, the limit is 1000");
}

TEST(Decide, UsesTheLowerEndOfTheCount) {
  Observation seen = with_zombies(999);
  seen.zombies.high = 5000;
  EXPECT_EQ(decide_first(seen).decision, Decision::idle);
}

TEST(Decide, ActsIfAReadIsExpensiveBecauseOfZombies) {
  Observation seen = with_zombies(501);
  seen.read_cost = 11ms;
  seen.read_cost_measured = true;
  const Plan plan = decide_first(seen);
  EXPECT_EQ(plan.decision, Decision::act);
  EXPECT_EQ(
      plan.reason,
      "a read of the root's numa_stat takes 11.0 ms, above the limit of 10.0 ms, with 501 zombies");
}

TEST(Decide, SaysThatAPredictedCostIsNotAMeasuredOne) {
  Observation seen = with_zombies(501);
  seen.read_cost = 11ms;
  EXPECT_TRUE(has(decide_first(seen).reason, "may take 11.0 ms"));
}

TEST(Decide, IsIdleIfAReadIsExpensiveForOtherReasons) {
  Observation seen = with_zombies(40);
  seen.read_cost = 50ms;
  seen.read_cost_measured = true;
  const Plan plan = decide_first(seen);
  EXPECT_EQ(plan.decision, Decision::idle);
  EXPECT_TRUE(has(plan.reason, "takes 50.0 ms, but not because of zombies")) << plan.reason;
}

TEST(Decide, BlamesFewZombiesWhereThereAreEvenFewerLiveCgroups) {
  Observation seen = with_zombies(51);
  seen.read_cost = 50ms;
  EXPECT_EQ(decide_first(seen).decision, Decision::act);
}

TEST(Decide, AcceptsAReadExactlyAtTheLimit) {
  Observation seen = with_zombies(501);
  seen.read_cost = 10ms;
  EXPECT_EQ(decide_first(seen).decision, Decision::idle);
}

TEST(Decide, IsIdleWithoutZombiesHoweverExpensiveAReadIs) {
  Observation seen = with_zombies(0);
  seen.read_cost = 5s;
  EXPECT_EQ(decide_first(seen).decision, Decision::idle);
}

TEST(Decide, RefusesUntilTheIntervalIsOver) {
  const History history{now - 599s, 0};
  const Plan early = decide(with_zombies(1000), history, {}, now);
  EXPECT_EQ(early.decision, Decision::refused);
  EXPECT_TRUE(has(early.reason, "the last action was 599 s ago, the next may start after 600 s"))
      << early.reason;
  EXPECT_TRUE(early.ladder.empty());
  EXPECT_EQ(decide(with_zombies(1000), history, {}, now + 1s).decision, Decision::act);
}

TEST(Decide, DoublesTheIntervalForEachActionWithoutEffect) {
  for (unsigned ineffective = 0; ineffective < 8; ++ineffective) {
    const std::chrono::seconds wait = 600s * (1 << ineffective);
    const History history{now - wait, ineffective};
    EXPECT_EQ(decide(with_zombies(1000), history, {}, now - 1s).decision, Decision::refused)
        << ineffective;
    EXPECT_EQ(decide(with_zombies(1000), history, {}, now).decision, Decision::act) << ineffective;
  }
  const Plan plan = decide(with_zombies(1000), {now - 1s, 3}, {}, now);
  EXPECT_TRUE(has(plan.reason, "after 4800 s, doubled for 3 without effect")) << plan.reason;
}

TEST(Decide, DoublesNoFurtherThanTheLongestInterval) {
  for (const unsigned ineffective : {8U, 9U, 1000U, 4'000'000'000U}) {
    const History history{now - 24h, ineffective};
    EXPECT_EQ(decide(with_zombies(1000), history, {}, now - 1s).decision, Decision::refused)
        << ineffective;
    EXPECT_EQ(decide(with_zombies(1000), history, {}, now).decision, Decision::act) << ineffective;
  }
}

TEST(Decide, KeepsAnIntervalThatIsLongerThanTheLongest) {
  Policy policy;
  policy.min_interval = 48h;
  policy.max_interval = 24h;
  EXPECT_EQ(decide(with_zombies(1000), {now - 47h, 5}, policy, now).decision, Decision::refused);
  EXPECT_EQ(decide(with_zombies(1000), {now - 48h, 5}, policy, now).decision, Decision::act);
}

TEST(Decide, NeedsNoIntervalIfNoneIsConfigured) {
  Policy policy;
  policy.min_interval = 0s;
  EXPECT_EQ(decide(with_zombies(1000), {now, 4'000'000'000U}, policy, now).decision, Decision::act);
}

TEST(Decide, DoesNotTrustAHistoryOfTheFuture) {
  EXPECT_EQ(decide(with_zombies(1000), {now + 1s, 0}, {}, now).decision, Decision::act);
}

TEST(Decide, RefusesUnderIoPressure) {
  Observation seen = with_zombies(1000);
  seen.io_pressure = 40.0;
  EXPECT_EQ(decide_first(seen).decision, Decision::act);
  seen.io_pressure = 40.1;
  const Plan plan = decide_first(seen);
  EXPECT_EQ(plan.decision, Decision::refused);
  EXPECT_TRUE(has(plan.reason, "1000 zombies")) << plan.reason;
  EXPECT_TRUE(has(plan.reason, "but I/O pressure is 40.1 % (some avg10), above 40.0 %"))
      << plan.reason;
}

TEST(Decide, RefusesUnderMemoryPressure) {
  Observation seen = with_zombies(1000);
  seen.memory_pressure = 20.0;
  EXPECT_EQ(decide_first(seen).decision, Decision::act);
  seen.memory_pressure = 20.1;
  const Plan plan = decide_first(seen);
  EXPECT_EQ(plan.decision, Decision::refused);
  EXPECT_TRUE(has(plan.reason, "but memory pressure is 20.1 % (full avg10), above 20.0 %"))
      << plan.reason;
}

TEST(Decide, IsIdleWhereTheKernelHandsPagesToTheCgroupAbove) {
  Observation seen = with_zombies(5000);
  seen.pages_reparented = true;
  const Plan plan = decide_first(seen);
  EXPECT_EQ(plan.decision, Decision::idle);
  EXPECT_TRUE(has(plan.reason, "5000 zombies")) << plan.reason;
  EXPECT_TRUE(has(plan.reason, "hands the pages of a removed cgroup")) << plan.reason;
  EXPECT_TRUE(plan.ladder.empty());

  Policy forced;
  forced.guards = Guards::override_all;
  EXPECT_EQ(decide_first(seen, forced).decision, Decision::idle) << "it is not a guard";
  Policy one_rung;
  one_rung.only = Rung::drop_page_cache;
  EXPECT_EQ(decide_first(seen, one_rung).decision, Decision::act) << "requested by name";
  seen.pages_reparented = false;
  EXPECT_EQ(decide_first(seen).decision, Decision::act);
}

TEST(Decide, ActsWithoutPressureFigures) {
  EXPECT_EQ(decide_first(with_zombies(1000)).decision, Decision::act);
}

TEST(Decide, IsIdleIfOthersRunDuringALongRead) {
  Observation seen = with_zombies(999);
  seen.read_cost = 60ms;
  seen.read_cost_measured = true;
  EXPECT_EQ(decide_first(seen).decision, Decision::act) << "not known: they may wait";
  seen.read_delay = 10ms;
  Plan plan = decide_first(seen);
  EXPECT_EQ(plan.decision, Decision::idle);
  EXPECT_TRUE(has(plan.reason, "takes 60.0 ms, but others wait at most 10.0 ms for it"))
      << plan.reason;
  seen.read_delay = 59ms;
  plan = decide_first(seen);
  EXPECT_EQ(plan.decision, Decision::act);
  EXPECT_TRUE(
      has(plan.reason, "takes 60.0 ms and others wait up to 59.0 ms for it, above the limit"))
      << plan.reason;
}

TEST(Delay, GrowsWithTheReadOnlyIfOthersWaitForIt) {
  History history;
  EXPECT_FALSE(predicted_delay(history, 80ms)) << "no probe";
  history.probe = {now, 40ms, 1000};
  EXPECT_FALSE(predicted_delay(history, 80ms)) << "not measured";
  history.probe.delay = 20ms;
  EXPECT_EQ(predicted_delay(history, 80ms), 20ms);
  EXPECT_EQ(predicted_delay(history, 5ms), 5ms) << "no longer than the read";
  history.probe.delay = 21ms;
  EXPECT_EQ(predicted_delay(history, 80ms), 80ms);
}

TEST(Delay, OfASentinelThatWaitsForItsTurnTellsOnlyIfItIsShort) {
  using cgctl::detail::delay_of_others;
  using cgctl::detail::SentinelClass;
  EXPECT_EQ(delay_of_others(9ms, SentinelClass::ordinary, 60ms, 10ms), 9ms);
  EXPECT_EQ(delay_of_others(11ms, SentinelClass::ordinary, 60ms, 10ms), std::nullopt);
  EXPECT_EQ(delay_of_others(11ms, SentinelClass::fifo, 60ms, 10ms), 11ms);
  EXPECT_EQ(delay_of_others(70ms, SentinelClass::fifo, 60ms, 10ms), 60ms);
}

TEST(Delay, IsRemembered) {
  History history;
  Observation seen = with_zombies(999);
  seen.read_cost = 60ms;
  seen.read_delay = 1ms;
  seen.read_cost_measured = true;
  note(history, seen, {}, now);
  EXPECT_EQ(history.probe.delay, 1ms);
}

// ---- gain and price ----

/// Returns an observation on a fixed kernel: zombies hold 26 MiB, on a machine with 4 GiB of memory
/// and 405 MiB of page cache.
Observation many_and_cheap() {
  Observation seen = with_zombies(1304);
  seen.read_cost = 2us;
  seen.read_cost_measured = true;
  seen.kernel_memory = 21 * mebibyte;
  seen.residual.emplace();
  seen.residual->file = 5 * mebibyte;
  seen.page_cache = 405 * mebibyte;
  seen.memory = 4096 * mebibyte;
  return seen;
}

TEST(Weigh, KeepsThePageCacheIfReadsAreCheapAndZombiesHoldLittle) {
  const Balance balance = weigh(many_and_cheap(), {});
  EXPECT_EQ(balance.worth, Worth::nothing);
  EXPECT_EQ(balance.held, 26 * mebibyte);
  EXPECT_EQ(balance.given_up, 405 * mebibyte);
  const Plan plan = decide_first(many_and_cheap());
  EXPECT_EQ(plan.decision, Decision::idle);
  EXPECT_TRUE(has(plan.reason, "they hold about 26.0 MiB, dropping caches gives up 405.0 MiB"))
      << plan.reason;
}

TEST(Weigh, ActsIfTheReadIsNotKnownToBeCheap) {
  Observation seen = many_and_cheap();
  seen.read_cost = 1ms;
  EXPECT_EQ(weigh(seen, {}).worth, Worth::nothing);
  seen.read_cost = 1001us;
  EXPECT_EQ(weigh(seen, {}).worth, Worth::reads);
  EXPECT_EQ(decide_first(seen).decision, Decision::act);
  seen.read_cost.reset();
  EXPECT_EQ(weigh(seen, {}).worth, Worth::reads);
  EXPECT_EQ(decide_first(seen).decision, Decision::act);
}

TEST(Weigh, KeepsThePageCacheIfALongReadLetsOthersRun) {
  Observation seen = many_and_cheap();
  seen.read_cost = 60ms;
  seen.read_delay = 10ms;
  EXPECT_EQ(weigh(seen, {}).worth, Worth::nothing);
  const Plan plan = decide_first(seen);
  EXPECT_EQ(plan.decision, Decision::idle);
  EXPECT_TRUE(has(plan.reason, "takes 60.000 ms and others wait up to 10.0 ms for it"))
      << plan.reason;
  seen.read_delay = 10001us;
  EXPECT_EQ(weigh(seen, {}).worth, Worth::reads);
  EXPECT_EQ(decide_first(seen).decision, Decision::act);
}

TEST(Weigh, TakesOthersToWaitForAReadThatWasNotMade) {
  Observation seen = many_and_cheap();
  seen.zombies.low = 999;
  seen.read_cost = 600ms;  // predicted
  seen.read_cost_measured = false;
  EXPECT_EQ(weigh(seen, {}).worth, Worth::reads);
  const Plan plan = decide_first(seen);
  EXPECT_EQ(plan.decision, Decision::act);
  EXPECT_TRUE(has(plan.reason, "may take 600.0 ms, above the limit")) << plan.reason;
}

TEST(Weigh, ActsIfIdsRunOut) {
  Observation seen = many_and_cheap();
  seen.zombies.kernel = 49'999;
  EXPECT_EQ(weigh(seen, {}).worth, Worth::nothing);
  seen.zombies.kernel = 50'000;
  EXPECT_EQ(weigh(seen, {}).worth, Worth::ids);
  EXPECT_EQ(decide_first(seen).decision, Decision::act);
}

TEST(Weigh, ActsWhereZombiesHoldMuchOfTheMemory) {
  Observation seen = many_and_cheap();
  seen.memory = 1300 * mebibyte;
  EXPECT_EQ(weigh(seen, {}).worth, Worth::nothing) << "exactly 2 percent";
  seen.memory = 1299 * mebibyte;
  EXPECT_EQ(weigh(seen, {}).worth, Worth::memory);
  EXPECT_EQ(decide_first(seen).decision, Decision::act);
  seen.memory = 0;
  EXPECT_EQ(weigh(seen, {}).worth, Worth::nothing) << "not known";
}

TEST(Weigh, ActsIfZombiesHoldMuchComparedWithThePageCache) {
  Observation seen = many_and_cheap();
  seen.page_cache = 4 * 26 * mebibyte;
  EXPECT_EQ(weigh(seen, {}).worth, Worth::gain);
  const Plan plan = decide_first(seen);
  EXPECT_EQ(plan.decision, Decision::act);
  EXPECT_TRUE(has(plan.reason, "they hold about 26.0 MiB, dropping caches gives up 104.0 MiB"))
      << plan.reason;
  ++seen.page_cache;
  EXPECT_EQ(weigh(seen, {}).worth, Worth::nothing);
}

TEST(Weigh, IsConfigurable) {
  Policy policy;
  policy.min_gain = 0;
  EXPECT_EQ(decide_first(many_and_cheap(), policy).decision, Decision::act);
  policy = {};
  policy.dead_memory = 0.5;
  EXPECT_EQ(weigh(many_and_cheap(), policy).worth, Worth::memory);
  policy = {};
  policy.memcgs_high = 1354;
  EXPECT_EQ(weigh(many_and_cheap(), policy).worth, Worth::ids);
}

TEST(Weigh, LeavesTheRungsThatDropNobodyElsesCache) {
  Observation seen = many_and_cheap();
  seen.can_reclaim = true;
  EXPECT_EQ(decide_first(seen).ladder, std::vector<Rung>{Rung::reclaim});
}

TEST(Weigh, DoesNotObjectToARequestedRung) {
  Policy policy;
  policy.only = Rung::drop_page_cache;
  EXPECT_EQ(decide_first(many_and_cheap(), policy).decision, Decision::act);
  policy = {};
  policy.guards = Guards::override_all;
  EXPECT_EQ(decide_first(many_and_cheap(), policy).decision, Decision::act);
}

struct Pin {
  const char* name;
  Residual left;
  const char* says;
};

class DecideWhenNothingIsFreeable : public ::testing::TestWithParam<Pin> {};

TEST_P(DecideWhenNothingIsFreeable, RefusesAndNamesWhatHoldsThem) {
  const Plan plan = decide_first(held_by(GetParam().left));
  EXPECT_EQ(plan.decision, Decision::refused) << plan.reason;
  EXPECT_TRUE(has(plan.reason, "dropping caches would free none of them: ")) << plan.reason;
  EXPECT_TRUE(has(plan.reason, GetParam().says)) << plan.reason;
}

Residual residual(std::uint64_t file, std::uint64_t shmem, std::uint64_t mapped, std::uint64_t anon,
                  std::uint64_t unevictable) {
  Residual left;
  left.file = file;
  left.shmem = shmem;
  left.mapped = mapped;
  left.anon = anon;
  left.unevictable = unevictable;
  return left;
}

INSTANTIATE_TEST_SUITE_P(
    ForEachPin, DecideWhenNothingIsFreeable,
    ::testing::Values(
        Pin{"Tmpfs", residual(0, 4 * mebibyte, 0, 4 * mebibyte, 0),
            "4.0 MiB of files on tmpfs or shared memory keep them alive: remove the files or "
            "unmount the "
            "tmpfs"},
        Pin{"MappedFiles", residual(3 * mebibyte, 0, 3 * mebibyte, 0, 0),
            "3.0 MiB of files mapped by running processes keep them alive: restart those "
            "processes"},
        Pin{"Mlock", residual(0, 0, 0, 0, 5 * mebibyte),
            "5.0 MiB locked in memory (mlock) keep them alive: stop or restart the processes"},
        Pin{"Anonymous", residual(0, 0, 0, 6 * mebibyte, 0),
            "6.0 MiB belong to processes that were moved to another cgroup since: restart them"}),
    [](const auto& pin) { return std::string(pin.param.name); });

Observation with_reclaim(Observation seen) {
  seen.squeezable = {{"/pods", 1000, 4096}};
  seen.can_reclaim_nodes = true;
  return seen;
}

TEST(DecideFreeable, OnlyReclaimsWhereMappedFilesHoldThem) {
  const Plan plan =
      decide_first(with_reclaim(held_by(residual(8 * mebibyte, 0, 8 * mebibyte, 0, 0))));
  EXPECT_EQ(plan.decision, Decision::act) << plan.reason;
  EXPECT_EQ(plan.ladder, (std::vector<Rung>{Rung::squeeze, Rung::node_reclaim}));
}

TEST(DecideFreeable, EvictsMappedFilesUnlessTheConfigurationProtectsThem) {
  Observation seen = with_reclaim(held_by(residual(8 * mebibyte, 0, 8 * mebibyte, 0, 0)));
  seen.can_evict = true;
  Policy policy;
  EXPECT_EQ(decide(seen, {}, policy, now).ladder,
            (std::vector<Rung>{Rung::evict, Rung::squeeze, Rung::node_reclaim}));
  policy.evict_mapped = false;
  EXPECT_EQ(decide(seen, {}, policy, now).ladder,
            (std::vector<Rung>{Rung::squeeze, Rung::node_reclaim}));
}

TEST(DecideFreeable, DoesNotReclaimWhereNoFileHoldsThem) {
  const Plan plan =
      decide_first(with_reclaim(held_by(residual(0, 8 * mebibyte, 0, 8 * mebibyte, 0))));
  EXPECT_EQ(plan.decision, Decision::refused) << plan.reason;
}

TEST(DecideFreeable, RefusesEvenIfTheCauseIsUnknown) {
  const Plan plan = decide_first(held_by({}));
  EXPECT_EQ(plan.decision, Decision::refused);
  EXPECT_TRUE(has(plan.reason, "dropping caches would free none of them")) << plan.reason;
}

TEST(DecideFreeable, ActsOnOnePageForTwentyZombiesAndNotOnLess) {
  constexpr std::uint64_t page = 4096;
  EXPECT_EQ(decide_first(held_by(residual(50 * page, 0, 0, 0, 0))).decision, Decision::act);
  EXPECT_EQ(decide_first(held_by(residual(49 * page, 0, 0, 0, 0))).decision, Decision::refused);
}

TEST(DecideFreeable, CountsInPagesOfTheMachine) {
  Observation seen = held_by(residual(50 * 4096, 0, 0, 0, 0));
  seen.page_size = 65536;
  EXPECT_EQ(decide_first(seen).decision, Decision::refused) << "that is 3 pages";
}

TEST(DecideFreeable, CountsMappedTmpfsAsTmpfs) {
  const Observation seen =
      held_by(residual(8 * mebibyte, 4 * mebibyte, 4 * mebibyte, 4 * mebibyte, 0));
  EXPECT_EQ(seen.residual->freeable(), 8 * mebibyte);
  EXPECT_EQ(decide_first(seen).decision, Decision::act);
  EXPECT_FALSE(has(explain_pins(seen), "mapped by running processes"));
  EXPECT_FALSE(has(explain_pins(seen), "moved to another"));
}

TEST(DecideFreeable, ActsWhenDentriesAndInodesMayHoldThem) {
  for (const SlabPins slab : {SlabPins::yes, SlabPins::unknown}) {
    Observation seen = held_by({});
    seen.slab = slab;
    EXPECT_EQ(decide_first(seen).decision, Decision::act);
  }
}

TEST(DecideFreeable, ActsIfTheResidualIsUnknown) {
  Observation seen = with_zombies(1000);
  seen.slab = SlabPins::no;
  EXPECT_EQ(decide_first(seen).decision, Decision::act);
}

TEST(ExplainPins, SaysNothingWithoutZombiesOrFigures) {
  Observation seen = held_by(residual(0, 4 * mebibyte, 0, 0, 0));
  seen.zombies.low = 0;
  EXPECT_EQ(explain_pins(seen), "");
  EXPECT_EQ(explain_pins(with_zombies(1000)), "");
}

TEST(ExplainPins, NamesAllPossibleCausesLargestFirst) {
  const std::string text = explain_pins(
      held_by(residual(8 * mebibyte, 4 * mebibyte, 5 * mebibyte, 6 * mebibyte, 5 * mebibyte)));
  std::size_t after = 0;
  for (const char* part : {"5.0 MiB locked", "4.0 MiB of files on tmpfs", "3.0 MiB of page cache",
                           "2.0 MiB belong to processes", "1.0 MiB of files mapped"}) {
    const std::size_t at = text.find(part, after);
    EXPECT_NE(at, std::string::npos) << part << " is not in its place: " << text;
    after = at;
  }
}

TEST(DecideOnly, ActsBelowTheMarkWithTheRequestedRung) {
  for (const Rung rung : {Rung::reclaim, Rung::drop_page_cache, Rung::drop_slab, Rung::drop_all}) {
    Policy policy;
    policy.only = rung;
    const Plan plan = decide_first(with_zombies(3), policy);
    EXPECT_EQ(plan.decision, Decision::act);
    EXPECT_EQ(plan.ladder, std::vector<Rung>{rung});
    EXPECT_EQ(plan.reason, std::string(to_string(rung)) + " was requested; 3 zombies");
  }
}

TEST(DecideOnly, IsIdleWithoutZombies) {
  Policy policy;
  policy.only = Rung::drop_all;
  EXPECT_EQ(decide_first(with_zombies(0), policy).decision, Decision::idle);
}

TEST(DecideOnly, IsStillSubjectToTheGuards) {
  Policy policy;
  policy.only = Rung::drop_all;
  EXPECT_EQ(decide(with_zombies(3), {now - 1s, 0}, policy, now).decision, Decision::refused);
}

TEST(DecideOverridden, ActsAgainstEveryGuard) {
  Policy policy;
  policy.guards = Guards::override_all;
  Observation seen = held_by(residual(0, 4 * mebibyte, 0, 0, 0));
  seen.io_pressure = 99;
  seen.memory_pressure = 99;
  ASSERT_EQ(decide(seen, {now - 1s, 5}, {}, now).decision, Decision::refused);
  const Plan plan = decide(seen, {now - 1s, 5}, policy, now);
  EXPECT_EQ(plan.decision, Decision::act);
  EXPECT_FALSE(plan.ladder.empty());
}

TEST(DecideOverridden, IsIdleIfThereIsNoNeed) {
  Policy policy;
  policy.guards = Guards::override_all;
  EXPECT_EQ(decide_first(with_zombies(10), policy).decision, Decision::idle);
}

TEST(Ladder, BeginsWithTheMildest) {
  EXPECT_EQ(decide_first(with_zombies(1000)).ladder,
            (std::vector<Rung>{Rung::drop_page_cache, Rung::drop_slab}));
}

TEST(Ladder, BeginsWithReclaimWhereTheKernelHasIt) {
  Observation seen = with_zombies(1000);
  seen.can_reclaim = true;
  EXPECT_EQ(decide_first(seen).ladder,
            (std::vector<Rung>{Rung::reclaim, Rung::drop_page_cache, Rung::drop_slab}));
}

// ---- alarm, growth, budgets and windows ----

TEST(Decide, GoesOnToTheLowMarkAfterPassingTheHighMark) {
  History history;
  const Policy policy;
  note(history, with_zombies(1000), policy, now - 1h);
  EXPECT_TRUE(history.alarmed);
  note(history, with_zombies(700), policy, now);
  EXPECT_EQ(decide(with_zombies(700), history, policy, now).decision, Decision::act);
  EXPECT_TRUE(has(decide(with_zombies(700), history, policy, now).reason,
                  "it started at 1000, and goes on until 500 are left"));
  EXPECT_EQ(decide(with_zombies(700), {}, policy, now).decision, Decision::idle);
  note(history, with_zombies(500), policy, now);
  EXPECT_FALSE(history.alarmed);
}

TEST(Note, SmoothsGrowthAndCountsAFallAsNoGrowth) {
  History history;
  const Policy policy;
  for (unsigned minute = 0; minute <= 60; ++minute) {
    note(history, with_zombies(100 + 6 * minute), policy, std::chrono::minutes(minute));
  }
  EXPECT_NEAR(history.growth, 0.1, 0.001);
  const double before = history.growth;
  note(history, with_zombies(5), policy, 61min);
  EXPECT_LT(history.growth, before);
  EXPECT_GE(history.growth, 0);
  note(history, with_zombies(5000), policy, 61min);
  EXPECT_LT(history.growth, before) << "no time has passed";
}

TEST(Note, SeesWithinHalfAMinuteThatChurnBegan) {
  History history;
  for (unsigned second = 0; second <= 30; second += 5) {
    note(history, with_zombies(50 * second), {}, std::chrono::seconds(second));
  }
  EXPECT_GT(history.recent_growth, 35);
  EXPECT_LT(history.growth, 6);
  EXPECT_GT(expected(history, 20s), 700);
  EXPECT_EQ(expected(history, 0s), 0);
}

TEST(Note, ForgetsChurnMoreSlowlyThanItSeesIt) {
  History history;
  note(history, with_zombies(0), {}, 0s);
  note(history, with_zombies(500), {}, 10s);
  EXPECT_NEAR(history.recent_growth, 19.7, 0.1);
  note(history, with_zombies(500), {}, 20s);
  EXPECT_NEAR(history.recent_growth, 14.1, 0.1);
}

TEST(HasReason, CountsTheGrowthUpToThisObservation) {
  History history;
  note(history, with_zombies(600), {}, now - 60s);
  EXPECT_FALSE(has_reason(with_zombies(610), history, {}, now));
  EXPECT_TRUE(has_reason(with_zombies(900), history, {}, now));
}

TEST(Decide, DoesNotTakeABurstForTenMinutesOfChurn) {
  History history;
  const Observation before = with_zombies(600);
  note(history, before, {}, now - 5s);
  note(history, with_zombies(700), {}, now);
  EXPECT_LT(expected(history, 10min), 300);
  EXPECT_EQ(decide(with_zombies(700), history, {}, now).decision, Decision::idle);
}

TEST(Decide, ActsSoEarlyThatTheCountStaysBelowTheLimitWhileItActs) {
  Policy policy;
  policy.zombies_high = 2000;
  policy.min_interval = 5s;
  History history;
  history.recent_growth = 50;
  history.action_time = 20s;
  EXPECT_EQ(decide(with_zombies(740), history, policy, now).decision, Decision::idle);
  EXPECT_EQ(decide(with_zombies(760), history, policy, now).decision, Decision::act);
  history.action_time = 1s;  // the count may take 10 s to settle
  EXPECT_EQ(decide(with_zombies(1240), history, policy, now).decision, Decision::idle);
  EXPECT_EQ(decide(with_zombies(1260), history, policy, now).decision, Decision::act);
  history.action_time.reset();
  EXPECT_EQ(decide(with_zombies(510), history, policy, now).decision, Decision::act)
      << "the first action may take the 60 s of the deadline";
}

TEST(End, ExpectsOfTheNextActionTheTimeOfThisOneOrHalfOfWhatWasExpected) {
  History history;
  const auto act = [&history](std::chrono::seconds from, std::chrono::seconds to) {
    begin(history, from);
    end(history, {}, Effect::none, {}, to);
    return history.action_time;
  };
  EXPECT_EQ(act(100s, 103s), 3s);
  EXPECT_EQ(act(200s, 220s), 20s);
  EXPECT_EQ(act(300s, 302s), 10s);
  EXPECT_EQ(act(400s, 412s), 12s);
}

TEST(Note, KeepsTheNumberOfCgroupsAtTheMeasuredRead) {
  Observation seen = with_zombies(600);
  seen.read_cost = 4ms;
  seen.read_cost_measured = true;
  History history;
  note(history, seen, {}, now);
  EXPECT_EQ(history.probe.memcgs, seen.zombies.kernel);
  seen.memcgs_at_read = seen.zombies.kernel / 2;  // twice as many since
  note(history, seen, {}, now);
  EXPECT_EQ(history.probe.memcgs, seen.zombies.kernel / 2);
  EXPECT_EQ(predicted_cost(history, seen.zombies.kernel), 8ms);
}

TEST(Decide, ActsBeforeTheReadPassesItsLimit) {
  Observation seen = with_zombies(600);
  seen.read_cost = 9ms;
  History history;
  EXPECT_EQ(decide(seen, history, {}, now).decision, Decision::idle);
  history.action_time = 1s;
  history.growth =
      0.2;  // 122 more zombies until another action, with 650 memory cgroups now: 10.7 ms
  const Plan plan = decide(seen, history, {}, now);
  EXPECT_EQ(plan.decision, Decision::act);
  EXPECT_TRUE(has(plan.reason, "720 more an hour")) << plan.reason;
  EXPECT_TRUE(has(plan.reason, "may take 10.7 ms in 610 s")) << plan.reason;
  history.growth = 0.01;
  EXPECT_EQ(decide(seen, history, {}, now).decision, Decision::idle);
}

TEST(PredictedCost, IsLinearUpToTwiceTheMeasuredCost) {
  const Policy policy;
  History history;
  EXPECT_TRUE(probe_due(history, policy, now));
  EXPECT_FALSE(predicted_cost(history, 100));
  history.probe = Probe{now, 4ms, 100};
  EXPECT_EQ(predicted_cost(history, 100), 4ms);
  EXPECT_EQ(predicted_cost(history, 150), 6ms);
  EXPECT_EQ(predicted_cost(history, 10), 4ms) << "fewer need not be cheaper";
  EXPECT_EQ(predicted_cost(history, 200), 8ms);
  EXPECT_EQ(predicted_cost(history, 201), 8ms) << "capped at twice the measured cost";
  EXPECT_EQ(predicted_cost(history, 100'000), 8ms);
  EXPECT_FALSE(probe_due(history, policy, now + 599s));
  EXPECT_TRUE(probe_due(history, policy, now + 600s));
  EXPECT_TRUE(probe_due(history, policy, now - 1s)) << "measured later";
}

TEST(Decide, PredictsAtMostADoublingOfTheCost) {
  Policy policy;
  policy.zombies_high = 1'000'000;
  Observation seen = with_zombies(600);
  seen.zombies.live = 50;
  seen.read_cost = 6ms;
  for (const double growth : {0.8, 1.08, 1.2, 3.0, 10.0, 1e6}) {
    History history;
    history.growth = growth;
    EXPECT_EQ(decide(seen, history, policy, now).decision, Decision::act) << growth;
  }
  seen.read_cost = 4ms;
  for (const double growth : {1.2, 1e3}) {
    History history;
    history.growth = growth;
    EXPECT_EQ(decide(seen, history, policy, now).decision, Decision::idle) << growth;
  }
}

TEST(Decide, IsIdleOnAFixedKernelHoweverFastZombiesGrow) {
  Observation seen = with_zombies(400);
  seen.read_cost = 20us;
  seen.read_cost_measured = true;
  for (const double growth : {0.1, 0.9, 10.0}) {
    History history;
    history.growth = growth;
    EXPECT_EQ(decide(seen, history, {}, now).decision, Decision::idle) << growth;
  }
}

TEST(Decide, ActsBeforeThereAreTooMany) {
  History history;
  history.action_time = 1s;
  history.growth = 1;  // 610 more zombies until another action
  const Plan plan = decide(with_zombies(900), history, {}, now);
  EXPECT_EQ(plan.decision, Decision::act);
  EXPECT_EQ(plan.reason, "900 zombies, 3600 more an hour: 1510 in 610 s, the limit is 1000");
  EXPECT_EQ(decide(with_zombies(501), history, {}, now).decision, Decision::act);
  EXPECT_EQ(decide(with_zombies(500), history, {}, now).decision, Decision::idle)
      << "an action would leave as many";
  history.growth = 0.1;
  EXPECT_EQ(decide(with_zombies(938), history, {}, now).decision, Decision::idle);
  EXPECT_EQ(decide(with_zombies(939), history, {}, now).decision, Decision::act);
}

TEST(Decide, BlamesFewZombiesWithoutWhichAReadWouldBeWithinTheLimit) {
  Observation seen = with_zombies(20);
  seen.zombies.live = 130;
  seen.zombies.kernel = 150;
  seen.read_cost = 10500us;
  EXPECT_EQ(decide_first(seen).decision, Decision::act);
  seen.zombies.low = 10;
  seen.zombies.kernel = 140;
  EXPECT_EQ(decide_first(seen).decision, Decision::idle) << "a tenth is not worth it";
}

TEST(Decide, KeepsToTheActionsOfADay) {
  Policy policy;
  policy.actions_a_day = 3;
  History history;
  history.actions = {now - 25h, now - 23h, now - 2h};
  EXPECT_EQ(decide(with_zombies(1000), history, policy, now).decision, Decision::act);
  history.actions.push_back(now - 1h);
  const Plan plan = decide(with_zombies(1000), history, policy, now);
  EXPECT_EQ(plan.decision, Decision::refused);
  EXPECT_TRUE(has(plan.reason, "3 actions in the last 24 hours, the limit is 3")) << plan.reason;
  policy.actions_a_day = 0;
  EXPECT_EQ(decide(with_zombies(1000), {}, policy, now).decision, Decision::refused);
}

TEST(Decide, RefusesWhileADiskIsBusyOrMuchIsDirty) {
  Observation seen = with_zombies(1000);
  seen.disk_busy = 91;
  EXPECT_TRUE(has(decide_first(seen).reason, "a disk is busy 91 % of the time, above 90 %"));
  seen.disk_busy = 90;
  EXPECT_EQ(decide_first(seen).decision, Decision::act);
  seen.dirty = (std::uint64_t{1} << 30) + mebibyte;
  EXPECT_TRUE(
      has(decide_first(seen).reason, "1025.0 MiB of dirty pages, above the limit of 1024.0 MiB"))
      << decide_first(seen).reason;
  Policy policy;
  policy.guards = Guards::override_all;
  EXPECT_EQ(decide_first(seen, policy).decision, Decision::act);
}

TEST(Decide, ActsWithinAWindowOnly) {
  Policy policy;
  Window nights;
  nights.days = {true, true, true, true, true, false, false};
  nights.from = 22 * 60;
  nights.to = 6 * 60;
  policy.windows = {nights};
  Observation seen = with_zombies(1000);
  const auto at = [&](unsigned weekday, unsigned minute) {
    seen.local_time = LocalTime{weekday, minute};
    return decide_first(seen, policy).decision;
  };
  EXPECT_EQ(at(0, 22 * 60 - 1), Decision::refused);
  EXPECT_EQ(at(0, 22 * 60), Decision::act);
  EXPECT_EQ(at(1, 6 * 60 - 1), Decision::act);
  EXPECT_EQ(at(1, 6 * 60), Decision::refused);
  EXPECT_EQ(at(0, 60), Decision::refused) << "Sunday's night is none";
  EXPECT_EQ(at(5, 60), Decision::act) << "Friday's night ends on Saturday";
  EXPECT_EQ(at(5, 23 * 60), Decision::refused);
}

// ---- ladder ----

TEST(Ladder, HasTheRungsThatTheMachineHas) {
  Observation seen = with_zombies(1000);
  using Rungs = std::vector<Rung>;
  EXPECT_EQ(decide_first(seen).ladder, (Rungs{Rung::drop_page_cache, Rung::drop_slab}));
  seen.can_reap = true;
  seen.can_evict = true;
  seen.squeezable = {{"/pods", 1000, 4096}};
  seen.can_reclaim_nodes = true;
  seen.can_reclaim = true;
  Policy policy;
  policy.files = {"/var/log/*.1"};
  EXPECT_EQ(decide_first(seen, policy).ladder, default_ladder());
  policy.ladder = {Rung::reclaim};
  EXPECT_EQ(decide_first(seen, policy).ladder, Rungs{Rung::reclaim});
}

TEST(Ladder, ReclaimsNoNodeWhereNoZombieHoldsPageCache) {
  Observation seen = with_zombies(1000);
  seen.can_reclaim_nodes = true;
  Policy policy;
  policy.guards = Guards::override_all;
  policy.ladder = {Rung::node_reclaim, Rung::drop_page_cache};
  seen.ancestors = {{"/pods", 1000, 8 * mebibyte, residual(0, 8 * mebibyte, 0, 8 * mebibyte, 0)}};
  EXPECT_EQ(decide_first(seen, policy).ladder, std::vector<Rung>{Rung::drop_page_cache});
  seen.ancestors.push_back({"/batch", 1, 4096, residual(4096, 0, 0, 0, 0)});
  EXPECT_EQ(decide_first(seen, policy).ladder, policy.ladder);
  seen.ancestors = {{"/pods", std::nullopt, 8 * mebibyte}};
  EXPECT_EQ(decide_first(seen, policy).ladder, policy.ladder) << "the kind of pages is unknown";
}

TEST(Ladder, LeavesOutRungsThatWereUselessLately) {
  History history;
  history.of(Rung::drop_page_cache) = {now - 1h, 2};
  EXPECT_EQ(decide(with_zombies(1000), history, {}, now).ladder,
            std::vector<Rung>{Rung::drop_slab});
  history.of(Rung::drop_slab) = {now - 2h, 5};
  const Plan none = decide(with_zombies(1000), history, {}, now);
  EXPECT_EQ(none.decision, Decision::refused);
  EXPECT_TRUE(
      has(none.reason, "every configured rung is missing on this kernel or was useless recently"))
      << none.reason;
  history.of(Rung::drop_slab).last = now - 24h;
  EXPECT_EQ(decide(with_zombies(1000), history, {}, now).decision, Decision::act);
  history.of(Rung::drop_page_cache).useless = 1;
  EXPECT_EQ(decide(with_zombies(1000), history, {}, now).ladder.size(), 2U);
}

TEST(Ladder, LeavesOutReclaimWhereLiveCgroupsMayLoseNothing) {
  Observation seen = with_zombies(1000);
  seen.can_reap = seen.can_evict = seen.can_reclaim_nodes = seen.can_reclaim = true;
  seen.squeezable = {{"/pods", 1000, mebibyte}};
  Policy policy;
  const auto stepwise = {Rung::squeeze, Rung::node_reclaim, Rung::reclaim};
  const auto all = decide_first(seen, policy).ladder;
  for (const Rung rung : stepwise) {
    EXPECT_NE(std::find(all.begin(), all.end(), rung), all.end()) << to_string(rung);
  }
  policy.cache_loss = 0;
  EXPECT_EQ(decide_first(seen, policy).ladder,
            (std::vector<Rung>{Rung::reap, Rung::evict, Rung::drop_page_cache, Rung::drop_slab}));
  policy.ladder = stepwise;
  const Plan none = decide_first(seen, policy);
  EXPECT_EQ(none.decision, Decision::refused);
  EXPECT_TRUE(has(none.reason, "may take no page cache from live cgroups (cache_loss = 0)"))
      << none.reason;
}

TEST(Ladder, IsClimbedOnWhileTooManyAreLeft) {
  const Observation before = with_zombies(1000);
  const Policy policy;
  EXPECT_TRUE(climb_on(before, {}, Rung::drop_page_cache, policy));
  EXPECT_TRUE(
      climb_on(before, {{Rung::reclaim, End::done, 1s, 1000, 501}}, Rung::drop_page_cache, policy));
  EXPECT_FALSE(
      climb_on(before, {{Rung::reclaim, End::done, 1s, 1000, 500}}, Rung::drop_page_cache, policy));
}

TEST(Ladder, DropsSlabOnlyAfterPageCacheFreedLittleAndWhereSlabCanPin) {
  Observation before = with_zombies(1000);
  const Policy policy;
  const auto after = [&](std::uint64_t left) {
    return climb_on(before, {{Rung::drop_page_cache, End::done, 1s, 1000, left}}, Rung::drop_slab,
                    policy);
  };
  EXPECT_TRUE(after(901));
  EXPECT_FALSE(after(900));
  before.slab = SlabPins::no;
  EXPECT_FALSE(after(1000));
  before.slab = SlabPins::yes;
  EXPECT_TRUE(after(1000));
}

TEST(Ladder, DropsSlabOnlyAfterThePageCacheWasDroppedToTheEnd) {
  const Observation before = with_zombies(1000);
  for (const Rung slab : {Rung::drop_slab, Rung::drop_all}) {
    for (const End end : {End::failed, End::timed_out, End::cancelled}) {
      EXPECT_FALSE(climb_on(before, {{Rung::drop_page_cache, end, 1s, 1000, 1000}}, slab, Policy{}))
          << to_string(end);
    }
    EXPECT_TRUE(
        climb_on(before, {{Rung::drop_page_cache, End::done, 1s, 1000, 1000}}, slab, Policy{}));
    EXPECT_TRUE(climb_on(before, {}, slab, Policy{})) << "1 was useless recently";
    EXPECT_FALSE(climb_on(before,
                          {{Rung::drop_page_cache, End::done, 1s, 1000, 800},
                           {Rung::drop_slab, End::done, 1s, 800, 800}},
                          slab, Policy{}))
        << "whatever stands between";
  }
}

TEST(Ladder, NeverDropsSlabWhereSlabPinsNothing) {
  Observation seen = with_zombies(1000);
  seen.slab = SlabPins::no;
  Policy policy;
  policy.ladder = {Rung::reclaim, Rung::drop_page_cache, Rung::drop_slab, Rung::drop_all};
  for (const Rung slab : {Rung::drop_slab, Rung::drop_all}) {
    EXPECT_FALSE(climb_on(seen, {}, slab, policy));
    EXPECT_FALSE(climb_on(seen, {{Rung::reclaim, End::done, 1s, 1000, 1000}}, slab, policy));
  }
  EXPECT_EQ(decide_first(seen, policy).ladder, std::vector<Rung>{Rung::drop_page_cache});
  History history;
  history.of(Rung::drop_page_cache) = {now - 1h, 2};
  EXPECT_EQ(decide(seen, history, policy, now).decision, Decision::refused);
}

TEST(Ladder, HasSlabOnlyAfterThePageCache) {
  Policy policy;
  policy.ladder = {Rung::drop_slab, Rung::drop_all, Rung::drop_page_cache};
  EXPECT_EQ(decide_first(with_zombies(1000), policy).ladder,
            std::vector<Rung>{Rung::drop_page_cache});
}

TEST(GivenUp, IsTheSumOfTheRungsThatWereMeasured) {
  std::vector<Action> actions(3);
  EXPECT_FALSE(given_up(actions));
  actions[0].given_up = 5;
  EXPECT_EQ(given_up(actions), 5);
  actions[2].given_up = 7;
  EXPECT_EQ(given_up(actions), 12);
}

// ---- history of actions ----

TEST(End, CountsByRungAndResult) {
  const Policy policy;
  History history;
  begin(history, now);
  EXPECT_EQ(history.actions, std::vector<std::chrono::seconds>{now});
  end(history,
      {{Rung::reclaim, End::failed, {}, 1000, 1000},
       {Rung::drop_page_cache, End::done, 1s, 1000, 950, {}, 0, 77},
       {Rung::drop_slab, End::timed_out, 1s, 950, 10}},
      Effect::effective, policy, now + 5s);
  EXPECT_EQ(history.last_action, now + 5s);
  EXPECT_EQ(history.of(Rung::reclaim).failed, 1);
  EXPECT_EQ(history.of(Rung::reclaim).useless, 1);
  EXPECT_EQ(history.of(Rung::drop_page_cache).ineffective, 1);
  EXPECT_EQ(history.of(Rung::drop_page_cache).useless, 1);
  EXPECT_EQ(history.of(Rung::drop_page_cache).given_up, 77);
  EXPECT_EQ(history.of(Rung::drop_slab).effective, 1);
  EXPECT_EQ(history.of(Rung::drop_slab).useless, 0);
  EXPECT_EQ(history.of(Rung::drop_slab).last, now + 5s);
  EXPECT_EQ(history.sample.zombies, 10);
}

TEST(End, DoublesTheIntervalUntilAnActionHelps) {
  const Policy policy;
  History history;
  for (unsigned useless = 1; useless <= 12; ++useless) {
    end(history, {{Rung::drop_page_cache, End::done, 1s, 1000, 1000}}, Effect::ineffective, policy,
        now);
    EXPECT_EQ(history.ineffective, useless);
  }
  end(history, {{Rung::drop_page_cache, End::cancelled, {}, 1000, 1000}}, Effect::none, policy,
      now);
  EXPECT_EQ(history.ineffective, 12) << "a rung cancelled half-way says nothing";
  EXPECT_EQ(history.of(Rung::drop_page_cache).ineffective, 12);
  end(history, {{Rung::drop_page_cache, End::done, 1s, 1000, 0}}, Effect::effective, policy, now);
  EXPECT_EQ(history.ineffective, 0);
}

TEST(ActionsAccounted, AreTheActionsOfTheLastDay) {
  History history;
  history.actions = {now - 25h, now - 24h, now - 23h, now};
  EXPECT_EQ(actions_accounted(history, now), 2U);
  EXPECT_EQ(actions_accounted(history, now + 24h), 0U);
}

TEST(Begin, ForgetsActionsThatNoLongerCount) {
  History history;
  history.actions = {now - 24h, now - 23h};
  begin(history, now);
  EXPECT_EQ(history.actions, (std::vector<std::chrono::seconds>{now - 23h, now}));
}

TEST(Rungs, AreFoundByTheirNames) {
  for (std::size_t i = 0; i < rung_count; ++i) {
    const auto rung = static_cast<Rung>(i);
    EXPECT_EQ(rung_named(to_string(rung)), rung);
  }
  EXPECT_FALSE(rung_named("drop_caches=4"));
}

}  // namespace mitigation_policy_test
