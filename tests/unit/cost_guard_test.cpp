// SPDX-FileCopyrightText: The cgctl authors
// SPDX-License-Identifier: MIT
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <limits>
#include <string>

#include "../support/captures.hpp"
#include "../support/made.hpp"
#include "../support/result.hpp"
#include "cgctl/numa_stat.hpp"

namespace cost_guard_test {

using namespace cgctl;
using namespace std::chrono_literals;
using numa::Cost;
using numa::CostGuard;
using std::chrono::nanoseconds;
using test::fails;
using test::must;
using ::testing::HasSubstr;

constexpr std::uint64_t greatest = std::numeric_limits<std::uint64_t>::max();

Cost took(nanoseconds wall) { return {wall, wall}; }

CostGuard::Config with_budget(nanoseconds budget) {
  CostGuard::Config config;
  config.budget = budget;
  return config;
}

TEST(CostGuard, AdmitsACheapReadAndRefusesAnExpensiveOne) {
  CostGuard guard(with_budget(10ms));
  guard.record(took(100us), 1, 0s);
  EXPECT_TRUE(guard.admit(100, 1s));
  const auto refused = guard.admit(101, 1s);
  ASSERT_FALSE(refused);
  EXPECT_EQ(refused.error().predicted, 10100us);
  EXPECT_EQ(refused.error().budget, 10ms);
  EXPECT_EQ(refused.error().memcgs, 101U);
  EXPECT_TRUE(refused.error().measured);
}

TEST(CostGuardUnmeasured, AssumesThePriorForEachMemoryCgroup) {
  const CostGuard guard;
  struct {
    std::uint64_t memcgs;
    nanoseconds predicted;
  } const table[] = {{0, 70us}, {1, 70us}, {10, 700us}, {10'000, 700ms}};
  for (const auto& row : table) EXPECT_EQ(guard.predict(row.memcgs), row.predicted) << row.memcgs;
}

TEST(CostGuardUnmeasured, RefusesByThePriorAndSaysThatNothingIsMeasured) {
  const CostGuard guard(with_budget(10ms));
  EXPECT_TRUE(guard.admit(142, 0s));
  const auto refused = guard.admit(143, 0s);
  ASSERT_FALSE(refused);
  EXPECT_FALSE(refused.error().measured);
  EXPECT_FALSE(guard.admit(143, 1000h)) << "no probe before a first measurement";
}

TEST(CostGuardPrediction, OfALeafBoundsEveryGroup) {
  CostGuard guard;
  guard.record(took(3us), 1, 0s);
  struct {
    std::uint64_t memcgs;
    nanoseconds predicted;
  } const table[] = {{1, 3us}, {2, 6us}, {1000, 3ms}, {1'000'000, 3s}};
  for (const auto& row : table) EXPECT_EQ(guard.predict(row.memcgs), row.predicted) << row.memcgs;
}

TEST(CostGuardPrediction, IsTheLeastOfWhatEachMeasurementBounds) {
  CostGuard guard;
  guard.record(took(10us), 1, 0s);
  guard.record(took(100us), 1000, 0s);  // with this kernel the cost hardly depends on the number
  EXPECT_EQ(guard.predict(1), 10us);
  EXPECT_EQ(guard.predict(5), 50us);
  EXPECT_EQ(guard.predict(10), 100us);
  EXPECT_EQ(guard.predict(1000), 100us);
  EXPECT_EQ(guard.predict(2000), 200us);
}

TEST(CostGuardPrediction, IsNeverBelowTheMeasurementItComesFrom) {
  for (const std::uint64_t measured : {1U, 7U, 1000U, 999'983U}) {
    CostGuard guard;
    guard.record(took(12'345ns), measured, 0s);
    for (const std::uint64_t memcgs :
         {std::uint64_t{1}, measured - 1, measured, measured + 1, 2 * measured, 1000 * measured}) {
      EXPECT_GE(guard.predict(memcgs), 12'345ns) << memcgs << " after " << measured;
    }
  }
}

TEST(CostGuardPrediction, NeverFallsAsGroupsGrow) {
  CostGuard guard;
  guard.record(took(10us), 1, 0s);
  guard.record(took(70us), 30, 0s);
  guard.record(took(200us), 40, 0s);
  nanoseconds last{};
  for (std::uint64_t memcgs = 0; memcgs < 200; ++memcgs) {
    EXPECT_GE(guard.predict(memcgs), last) << memcgs;
    last = guard.predict(memcgs);
  }
}

TEST(CostGuardPrediction, TreatsZeroMemoryCgroupsAsOne) {
  CostGuard guard;
  guard.record(took(5us), 0, 0s);
  EXPECT_EQ(guard.predict(0), 5us);
  EXPECT_EQ(guard.predict(3), 15us);
}

TEST(CostGuardPrediction, UsesTheWallTimeOfTheRead) {
  CostGuard guard;
  guard.record({4us, 9us}, 1, 0s);
  EXPECT_EQ(guard.predict(1), 4us);
}

TEST(CostGuardPrediction, ForgetsAllButTheLastSixteenMeasurements) {
  CostGuard guard;
  guard.record(took(1us), 1, 0s);
  for (int i = 0; i < 15; ++i) guard.record(took(100us), 1, 0s);
  EXPECT_EQ(guard.predict(1), 1us);
  guard.record(took(100us), 1, 0s);
  EXPECT_EQ(guard.predict(1), 100us);
}

TEST(CostGuardPrediction, ForgetsMeasurementsThatAreOldAtTheTimeOfTheNewest) {
  CostGuard guard;
  guard.record(took(1us), 1, 0s);
  guard.record(took(50us), 1, 10min);
  EXPECT_EQ(guard.predict(1), 1us);
  guard.record(took(50us), 1, 10min + 1ns);
  EXPECT_EQ(guard.predict(1), 50us);
}

TEST(CostGuardPrediction, KeepsTheOnlyMeasurementHoweverOldItIs) {
  CostGuard guard(with_budget(10ms));
  guard.record(took(1us), 1, 0s);
  EXPECT_TRUE(guard.admit(10'000, 24h * 365));
}

TEST(CostGuardPrediction, DoesNotOverflow) {
  CostGuard guard;
  EXPECT_GE(guard.predict(greatest), 24h * 365);
  guard.record(took(1h), 1, 0s);
  EXPECT_GE(guard.predict(greatest), 24h * 365);
  guard.record(took(nanoseconds::max()), greatest, nanoseconds::max());
  EXPECT_GE(guard.predict(greatest), 24h * 365);
  EXPECT_FALSE(guard.admit(greatest, nanoseconds::max()));
}

/// A guard that has seen one read of 10,000 memory cgroups, at time 0, take 30 ms: three times the
/// budget. With its `probe_rest` it allows a probe every 300 s.
class CostGuardProbe : public ::testing::Test {
 protected:
  static CostGuard::Config config() {
    CostGuard::Config config;
    config.budget = 10ms;
    config.remeasure_after = 60s;
    config.probe_factor = 10;
    config.probe_rest = 10'000;
    return config;
  }
  static CostGuard guard_of(const CostGuard::Config& config) {
    CostGuard guard(config);
    guard.record(took(30ms), memcgs, 0s);
    return guard;
  }
  static constexpr std::uint64_t memcgs = 10'000;
};

TEST_F(CostGuardProbe, IsAdmittedAfterThePause) {
  const CostGuard guard = guard_of(config());
  EXPECT_FALSE(guard.admit(memcgs, 300s - 1ns));
  EXPECT_TRUE(guard.admit(memcgs, 300s));
}

TEST_F(CostGuardProbe, WaitsAtLeastUntilMeasurementsAreOld) {
  auto patient = config();
  patient.remeasure_after = 1h;
  const CostGuard guard = guard_of(patient);
  EXPECT_FALSE(guard.admit(memcgs, 1h - 1ns));
  EXPECT_TRUE(guard.admit(memcgs, 1h));
}

TEST_F(CostGuardProbe, IsFollowedByTheSamePause) {
  CostGuard guard = guard_of(config());
  guard.record(took(20ms), memcgs, 300s);
  EXPECT_EQ(guard.predict(memcgs), 20ms) << "older than a minute at the time of the newest";
  EXPECT_FALSE(guard.admit(memcgs, 500s - 1ns));
  EXPECT_TRUE(guard.admit(memcgs, 500s));
}

TEST_F(CostGuardProbe, IsNotDelayedByReadsWithinTheBudget) {
  CostGuard guard(config());
  guard.record(took(3us), 1, 0s);
  guard.record(took(30ms), memcgs, 0s);
  guard.record(took(2us), 1, 199s);
  EXPECT_EQ(guard.predict(memcgs), 20ms) << "by the leaf, the only one that is new enough";
  EXPECT_FALSE(guard.admit(memcgs, 200s - 1ns));
  EXPECT_TRUE(guard.admit(memcgs, 200s));
}

TEST_F(CostGuardProbe, IsDelayedByAnExpensiveReadThatWasNotAdmitted) {
  CostGuard guard = guard_of(config());
  guard.record(took(30ms), memcgs, 299s);
  EXPECT_FALSE(guard.admit(memcgs, 300s));
  EXPECT_TRUE(guard.admit(memcgs, 599s));
}

TEST_F(CostGuardProbe, IsNeverAdmittedAboveItsFactor) {
  const CostGuard guard = guard_of(config());
  struct {
    std::uint64_t memcgs;
    bool probe;
  } const table[] = {{33'333, true}, {33'334, false}, {1'000'000, false}};
  for (const auto& row : table)
    EXPECT_EQ(guard.admit(row.memcgs, 10'000h).has_value(), row.probe) << row.memcgs;
}

TEST_F(CostGuardProbe, IsNotMadeWithAFactorOfOne) {
  auto never = config();
  for (const unsigned factor : {0U, 1U}) {
    never.probe_factor = factor;
    EXPECT_FALSE(guard_of(never).admit(memcgs, 10'000h)) << factor;
  }
}

TEST_F(CostGuardProbe, NeedsNoPauseIfNoneIsConfigured) {
  auto restless = config();
  restless.probe_rest = 0;
  EXPECT_FALSE(guard_of(restless).admit(memcgs, 60s - 1ns));
  EXPECT_TRUE(guard_of(restless).admit(memcgs, 60s));
}

TEST_F(CostGuardProbe, MayHaveTheGreatestFactorThereIs) {
  auto always = config();
  always.budget = 3s;
  always.probe_factor = std::numeric_limits<unsigned>::max();
  CostGuard guard(always);
  guard.record(took(4s), memcgs, 0s);
  EXPECT_FALSE(guard.admit(memcgs, 40'000s - 1ns));
  EXPECT_TRUE(guard.admit(memcgs, 40'000s));
}

TEST(CostGuardConfig, IsTheOneItWasGiven) {
  EXPECT_EQ(CostGuard().config().budget, 10ms);
  EXPECT_EQ(CostGuard(with_budget(7ms)).config().budget, 7ms);
}

TEST(OverBudget, IsAnErrorThatCarriesThePrediction) {
  const numa::OverBudget refusal{700ms, 10ms, 10'000, true};
  const Error error = refusal.error("/kubepods");
  EXPECT_EQ(error.kind, errc::over_budget);
  EXPECT_THAT(error.message(),
              HasSubstr("read /kubepods: predicted to take up to 700 ms with 10000 "
                        "memory cgroups below; the budget is 10 ms"));
  EXPECT_FALSE(error.hint.empty());
}

TEST(OverBudget, SaysWhenNothingIsMeasured) {
  const numa::OverBudget refusal{9999us, 500us, 3, false};
  EXPECT_THAT(refusal.error("/").message(),
              HasSubstr("up to 9999 us with 3 memory cgroups below (assumed: no read was "
                        "measured yet); the budget is 500 us"));
}

TEST(Calibrate, MeasuresALeafForAFirstBound) {
  const Host host = test::captured("linux-5.4-v1-numa2/2-zombies");
  CostGuard guard;
  const Cost cost = must(numa::calibrate(host, guard, 0s));
  EXPECT_GT(cost.wall, 0ns);
  EXPECT_EQ(guard.predict(1), cost.wall);
  EXPECT_EQ(guard.predict(100), 100 * cost.wall);
}

TEST(Calibrate, IsUnsupportedWithTheRootAlone) {
  const test::MadeMachine machine(test::v1_mount("/sys/fs/cgroup/memory", "memory"));
  machine.put_v1("memory");
  CostGuard guard;
  EXPECT_TRUE(fails(numa::calibrate(must(machine.host()), guard, 0s), errc::unsupported));
  EXPECT_EQ(guard.predict(1), guard.config().prior) << "nothing was recorded";
}

TEST(Calibrate, IsUnsupportedWithoutAMemoryController) {
  const test::MadeMachine machine(test::v1_mount("/sys/fs/cgroup/cpu", "cpu"));
  machine.put_v1("cpu");
  CostGuard guard;
  EXPECT_TRUE(fails(numa::calibrate(must(machine.host()), guard, 0s), errc::unsupported));
}

TEST(Calibrate, RecordsNothingWhenTheLeafCannotBeRead) {
  const test::MadeMachine machine(test::v1_mount("/sys/fs/cgroup/memory", "memory"));
  machine.put_v1("memory");
  machine.put("sys/fs/cgroup/memory/a/cgroup.procs", "");
  CostGuard guard;
  EXPECT_TRUE(fails(numa::calibrate(must(machine.host()), guard, 0s), errc::unsupported));
  machine.put("sys/fs/cgroup/memory/a/memory.numa_stat", "total=1 N0=1\n");
  EXPECT_TRUE(fails(numa::calibrate(must(machine.host()), guard, 0s), errc::truncated));
  EXPECT_EQ(guard.predict(1), guard.config().prior);
}

}  // namespace cost_guard_test
