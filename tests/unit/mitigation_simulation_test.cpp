// SPDX-FileCopyrightText: The cgctl authors
// SPDX-License-Identifier: MIT
#include <gtest/gtest.h>

#include <algorithm>
#include <chrono>
#include <string>

#include "../simulation/simulation.hpp"

namespace mitigation_simulation_test {

using namespace cgctl;
using namespace std::chrono_literals;
using mitigation::Policy;
using simulation::Model;
using simulation::Result;

constexpr unsigned days = 90;

Model model(const std::string& name) {
  const auto all = simulation::models();
  const auto found =
      std::find_if(all.begin(), all.end(), [&](const Model& one) { return one.name == name; });
  EXPECT_NE(found, all.end()) << name;
  return *found;
}

Result run(const std::string& name, const Policy& policy = {}) {
  return simulation::run_policy(model(name), policy, days);
}

TEST(MitigationOverMonths, NeverActsMoreThanItsBudget) {
  for (const unsigned budget : {0U, 5U}) {
    for (const Model& one : simulation::models()) {
      Policy policy;
      policy.actions_a_day = budget;
      EXPECT_LE(simulation::run_policy(one, policy, days).most_in_24_hours, budget) << one.name;
    }
  }
}

TEST(MitigationOverMonths, IsIdleOnAHealthyNode) {
  const Result result = run("healthy node");
  EXPECT_EQ(result.actions_a_day, 0);
  EXPECT_EQ(result.gibibytes_a_day, 0);
  EXPECT_EQ(result.refused, 0);
}

TEST(MitigationOverMonths, ActsBeforeAReadPassesItsLimitInASteadyLeak) {
  const Result result = run("steady leak");
  EXPECT_LE(result.worst_read, Policy{}.read_cost_limit);
  EXPECT_GT(result.actions_a_day, 0);
  EXPECT_EQ(result.useless, 0);
  EXPECT_GT(simulation::run_cron(model("steady leak"), 12h, days).worst_read,
            Policy{}.read_cost_limit);
}

TEST(MitigationOverMonths, ReclaimsWithoutDroppingCachesWhereTheKernelCan) {
  const Result result = run("leak on v2");
  EXPECT_GT(result.actions_a_day, 1);
  EXPECT_EQ(result.useless, 0);
  EXPECT_EQ(result.drops, 0);
  EXPECT_LE(result.most_zombies, Policy{}.zombies_high);
  EXPECT_LT(result.gibibytes_a_day, 1);
  Model without = model("leak on v2");
  without.can_reclaim = false;
  EXPECT_GT(simulation::run_policy(without, {}, days).drops, 0);
}

TEST(MitigationOverMonths, KeepsThePageCacheWhereItCanTakeTheZombiesPagesAlone) {
  for (const char* const name : {"steady leak", "bursts"}) {
    const Result dropping = run(name);
    const Result result = simulation::run_policy(simulation::with_evict(model(name)), {}, days);
    EXPECT_GT(result.actions_a_day, 0) << name;
    EXPECT_EQ(result.useless, 0) << name;
    EXPECT_EQ(result.drops, 0) << name;
    EXPECT_LE(result.worst_read, dropping.worst_read * 11 / 10) << name;
    EXPECT_LT(result.kibibytes_a_zombie, dropping.kibibytes_a_zombie / 500) << name;
    const Result squeezing =
        simulation::run_policy(simulation::with_squeeze(model(name)), {}, days);
    EXPECT_EQ(squeezing.useless, 0) << name;
    EXPECT_EQ(squeezing.drops, 0) << name;
    EXPECT_LE(squeezing.worst_read, dropping.worst_read * 11 / 10) << name;
    EXPECT_LT(squeezing.kibibytes_a_zombie, dropping.kibibytes_a_zombie / 50) << name;
  }
}

TEST(MitigationOverMonths, StopsActingWhereItDoesNotHelp) {
  const Result result = run("tmpfs pins");
  // One useless action at each doubling of the interval, then one a day.
  EXPECT_LE(result.useless, days + 10);
  EXPECT_GE(result.longest_pause, 24h);
  EXPECT_LE(result.longest_pause, 24h + 10min) << "it goes on trying once a day";
  EXPECT_EQ(simulation::run_cron(model("tmpfs pins"), 12h, days).useless, days * 2);
}

TEST(MitigationOverMonths, DoesNothingIfNothingCanBeFreed) {
  Model told = model("tmpfs pins");
  told.tells_pins = true;
  const Result result = simulation::run_policy(told, {}, days);
  EXPECT_EQ(result.actions_a_day, 0);
  EXPECT_GT(result.refused, 0);
}

TEST(MitigationOverMonths, DoesNothingWhereCachePinsNothing) {
  EXPECT_EQ(run("cache pins nothing").actions_a_day, 0);
}

TEST(MitigationOverMonths, SparesBusyDisks) {
  const Result result = run("slow disk");
  EXPECT_GT(result.actions_a_day, 0);
  EXPECT_GT(result.refused, 0);
  EXPECT_EQ(result.while_busy, 0);
  EXPECT_GT(simulation::run_cron(model("slow disk"), 1h, days).while_busy, 0);
}

TEST(MitigationOverMonths, DropsSlabIfSlabPins) {
  const Result result = run("dentries pin");
  EXPECT_LT(result.most_zombies, 1000);
  EXPECT_EQ(result.useless, 0);
}

TEST(MitigationOverMonths, RecoversFromBurstsWithinTheDay) {
  const Result result = run("bursts");
  EXPECT_LE(result.actions_a_day, 4);
  EXPECT_LE(result.most_zombies, 3000);
}

TEST(MitigationOverMonths, HelpsAgainOnceSomethingCanBeFreed) {
  // For a month nothing frees the zombies; those that come later are kept by page cache.
  Model changing = model("tmpfs pins");
  changing.decay = 0.01;
  changing.births = [](simulation::minutes now) {
    constexpr simulation::minutes month(30 * 24 * 60);
    simulation::Births births;
    (now < month ? births.tmpfs : births.cache) = now < month ? 20 : 30;
    return births;
  };
  const Result result = simulation::run_policy(changing, {}, days);
  EXPECT_GT(result.useless, 0);
  EXPECT_GT(result.actions_a_day, 5);
}

}  // namespace mitigation_simulation_test
