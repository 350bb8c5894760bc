// SPDX-FileCopyrightText: The cgctl authors
// SPDX-License-Identifier: MIT
#include <gtest/gtest.h>

#include <chrono>
#include <optional>
#include <string>
#include <vector>

#include "cgctl/mitigation.hpp"

namespace mitigation_policy_test {

using namespace std::chrono_literals;
using namespace cgctl::mitigation;
using cgctl::zombies::Residual;
using cgctl::zombies::SlabPins;

constexpr std::uint64_t mebibyte = 1 << 20;
constexpr std::chrono::seconds now = 100h;

/// A machine with this many zombies and nothing else to tell.
Observation with_zombies(std::uint64_t number) {
  Observation seen;
  seen.zombies.low = number;
  seen.zombies.high = number;
  seen.zombies.live = 50;
  seen.zombies.kernel = number + 50;
  return seen;
}

/// One on which nothing but what `left` says holds 1,000 zombies.
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
  EXPECT_EQ(plan.reason, "1000 zombies, 1000 or more call for action");
}

TEST(Decide, TakesTheLeastNumberThatIsCertain) {
  Observation seen = with_zombies(999);
  seen.zombies.high = 5000;
  EXPECT_EQ(decide_first(seen).decision, Decision::idle);
}

TEST(Decide, ActsWhenAReadIsDearAndZombiesAreToBlame) {
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

TEST(Decide, IsIdleWhenAReadIsDearForOtherReasons) {
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

TEST(Decide, DoesNotMindAReadAtTheLimit) {
  Observation seen = with_zombies(501);
  seen.read_cost = 10ms;
  EXPECT_EQ(decide_first(seen).decision, Decision::idle);
}

TEST(Decide, IsIdleWithoutZombiesHoweverDearAReadIs) {
  Observation seen = with_zombies(0);
  seen.read_cost = 5s;
  EXPECT_EQ(decide_first(seen).decision, Decision::idle);
}

TEST(Decide, RefusesUntilTheIntervalIsOver) {
  const History history{now - 599s, 0};
  const Plan early = decide(with_zombies(1000), history, {}, now);
  EXPECT_EQ(early.decision, Decision::refused);
  EXPECT_TRUE(has(early.reason, "the last action was 599 s ago, the next may come after 600 s"))
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

TEST(Decide, NeedsNoIntervalWhenNoneIsWanted) {
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
  EXPECT_TRUE(has(plan.reason, "refused: I/O pressure is 40.1 % (some avg10), above 40.0 %"))
      << plan.reason;
}

TEST(Decide, RefusesUnderMemoryPressure) {
  Observation seen = with_zombies(1000);
  seen.memory_pressure = 20.0;
  EXPECT_EQ(decide_first(seen).decision, Decision::act);
  seen.memory_pressure = 20.1;
  const Plan plan = decide_first(seen);
  EXPECT_EQ(plan.decision, Decision::refused);
  EXPECT_TRUE(has(plan.reason, "refused: memory pressure is 20.1 % (full avg10), above 20.0 %"))
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
  EXPECT_EQ(decide_first(seen, one_rung).decision, Decision::act) << "asked for by name";
  seen.pages_reparented = false;
  EXPECT_EQ(decide_first(seen).decision, Decision::act);
}

TEST(Decide, ActsWherePressureIsNotKept) {
  EXPECT_EQ(decide_first(with_zombies(1000)).decision, Decision::act);
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
  EXPECT_TRUE(has(plan.reason, "nothing that could be freed holds them: ")) << plan.reason;
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
            "4.0 MiB of files on tmpfs or shared memory pin them: remove the files or unmount the "
            "tmpfs"},
        Pin{"MappedFiles", residual(3 * mebibyte, 0, 3 * mebibyte, 0, 0),
            "3.0 MiB of file pages are mapped by running processes: restart those"},
        Pin{"Mlock", residual(0, 0, 0, 0, 5 * mebibyte),
            "5.0 MiB are locked in memory (mlock): end or restart who locked them"},
        Pin{"Anonymous", residual(0, 0, 0, 6 * mebibyte, 0),
            "6.0 MiB of anonymous memory belong to processes that moved on: restart those"}),
    [](const auto& pin) { return std::string(pin.param.name); });

TEST(DecideFreeable, RefusesAlsoWhenItCannotSayWhatHoldsThem) {
  const Plan plan = decide_first(held_by({}));
  EXPECT_EQ(plan.decision, Decision::refused);
  EXPECT_TRUE(has(plan.reason, "nothing that could be freed holds them")) << plan.reason;
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

TEST(DecideFreeable, TakesMappedTmpfsForTmpfsAndNotForMappedFiles) {
  const Observation seen =
      held_by(residual(8 * mebibyte, 4 * mebibyte, 4 * mebibyte, 4 * mebibyte, 0));
  EXPECT_EQ(seen.residual->freeable(), 8 * mebibyte);
  EXPECT_EQ(decide_first(seen).decision, Decision::act);
  EXPECT_FALSE(has(explain_pins(seen), "mapped by running processes"));
  EXPECT_FALSE(has(explain_pins(seen), "anonymous"));
}

TEST(DecideFreeable, ActsWhenDentriesAndInodesMayHoldThem) {
  for (const SlabPins slab : {SlabPins::yes, SlabPins::unknown}) {
    Observation seen = held_by({});
    seen.slab = slab;
    EXPECT_EQ(decide_first(seen).decision, Decision::act);
  }
}

TEST(DecideFreeable, ActsWhereTheKernelDoesNotTellWhatIsLeft) {
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

TEST(ExplainPins, NamesEachThatCouldHoldThemMostFirst) {
  const std::string text = explain_pins(
      held_by(residual(8 * mebibyte, 4 * mebibyte, 5 * mebibyte, 6 * mebibyte, 5 * mebibyte)));
  std::size_t after = 0;
  for (const char* part :
       {"5.0 MiB are locked", "4.0 MiB of files on tmpfs", "3.0 MiB of page cache",
        "2.0 MiB of anonymous memory", "1.0 MiB of file pages are mapped"}) {
    const std::size_t at = text.find(part, after);
    EXPECT_NE(at, std::string::npos) << part << " is not in its place: " << text;
    after = at;
  }
}

TEST(DecideOnly, ActsBelowTheMarkWithTheOneRungAskedFor) {
  for (const Rung rung : {Rung::reclaim, Rung::drop_page_cache, Rung::drop_slab, Rung::drop_all}) {
    Policy policy;
    policy.only = rung;
    const Plan plan = decide_first(with_zombies(3), policy);
    EXPECT_EQ(plan.decision, Decision::act);
    EXPECT_EQ(plan.ladder, std::vector<Rung>{rung});
    EXPECT_EQ(plan.reason, std::string(to_string(rung)) + " asked for, 3 zombies");
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

TEST(DecideOverridden, IsIdleAllTheSameWhenThereIsNoNeed) {
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

}  // namespace mitigation_policy_test
