// SPDX-FileCopyrightText: The cgctl authors
// SPDX-License-Identifier: MIT
#include <gtest/gtest.h>

#include <string>

#include "../support/made.hpp"
#include "../support/result.hpp"
#include "cgctl/cpu.hpp"

namespace cpu_stat_test {

using namespace cgctl;
using namespace cgctl::cpu;
using namespace std::chrono_literals;
using cgctl::cpu::parse;
using cgctl::test::fails;
using cgctl::test::must;
using cgctl::test::ok;

TEST(CpuStat, OnV1TimesAreInNanoseconds) {
  Stat stat;
  ASSERT_TRUE(
      ok(parse("nr_periods 20\nnr_throttled 3\nthrottled_time 4000\nnr_bursts 2\n"
               "burst_time 500\n",
               Version::v1, stat)));
  EXPECT_EQ(stat.nr_periods, 20U);
  EXPECT_EQ(stat.nr_throttled, 3U);
  EXPECT_EQ(stat.throttled, 4000ns);
  EXPECT_EQ(stat.nr_bursts, 2U);
  EXPECT_EQ(stat.burst, 500ns);
  EXPECT_FALSE(stat.usage) << "on v1 that figure is cpuacct's";
}

TEST(CpuStat, OnV2TimesAreInMicroseconds) {
  Stat stat;
  ASSERT_TRUE(
      ok(parse("usage_usec 30\nuser_usec 20\nsystem_usec 10\nnice_usec 0\n"
               "core_sched.force_idle_usec 0\nnr_periods 5\nnr_throttled 1\n"
               "throttled_usec 7\nnr_bursts 0\nburst_usec 0\n",
               Version::v2, stat)));
  EXPECT_EQ(stat.usage, 30us);
  EXPECT_EQ(stat.user, 20us);
  EXPECT_EQ(stat.system, 10us);
  EXPECT_EQ(stat.throttled, 7us);
  EXPECT_EQ(stat.burst, 0us);
}

TEST(CpuStat, LinesMayComeInAnyOrderAndWithMoreBlanks) {
  Stat stat;
  ASSERT_TRUE(
      ok(parse("nr_throttled 3\n nr_periods\t20\nnr_bursts 2 9\nthrottled_time  4000\n"
               "nr_periods_more 8\nburst_time 500 \n",
               Version::v1, stat)));
  EXPECT_EQ(stat.nr_periods, 20U);
  EXPECT_EQ(stat.nr_throttled, 3U);
  EXPECT_EQ(stat.throttled, 4000ns);
  EXPECT_EQ(stat.nr_bursts, 2U);
  EXPECT_EQ(stat.burst, 500ns);
  EXPECT_EQ(stat.skipped_lines, 0U);
}

TEST(CpuStat, WithoutTheControllerV2HasOnlyTheUsage) {
  Stat stat;
  ASSERT_TRUE(ok(parse("usage_usec 30\nuser_usec 20\nsystem_usec 10\n", Version::v2, stat)));
  EXPECT_EQ(stat.usage, 30us);
  EXPECT_FALSE(stat.nr_periods);
}

TEST(CpuStat, ATextThatEndsEarlyOrHasNoNumbersIsAnError) {
  Stat stat;
  EXPECT_TRUE(fails(parse("", Version::v2, stat), errc::truncated));
  EXPECT_TRUE(fails(parse("usage_usec 30\nuser_us", Version::v2, stat), errc::truncated));
  EXPECT_TRUE(fails(parse("usage_usec many\n", Version::v2, stat), errc::malformed));
  EXPECT_TRUE(fails(parse("nr_periods\n", Version::v1, stat), errc::malformed));
  EXPECT_TRUE(fails(parse("usage_usec 9223372036854776\n", Version::v2, stat), errc::malformed))
      << "more nanoseconds than there are numbers";
}

TEST(CpuStat, AKeyWithoutANumberIsSkippedAndCounted) {
  Stat stat;
  ASSERT_TRUE(
      ok(parse("usage_usec -5\nuser_usec 20\nsystem_usec\nnr_periods 5\n", Version::v2, stat)));
  EXPECT_FALSE(stat.usage);
  EXPECT_FALSE(stat.system);
  EXPECT_EQ(stat.user, 20us);
  EXPECT_EQ(stat.nr_periods, 5U);
  EXPECT_EQ(stat.skipped_lines, 2U);
}

TEST(CpuStat, AFileOfCpuacctWithoutANumberLeavesTheOthers) {
  const test::MadeMachine machine(test::v1_mount("/sys/fs/cgroup/cpu", "cpu,cpuacct"));
  machine.put_v1("cpu");
  machine.put("sys/fs/cgroup/cpu/a/cgroup.procs", "");
  machine.put("sys/fs/cgroup/cpu/a/cpu.stat", "nr_periods 7\nnr_throttled 0\nthrottled_time 0\n");
  machine.put("sys/fs/cgroup/cpu/a/cpuacct.usage", "-1\n");
  machine.put("sys/fs/cgroup/cpu/a/cpuacct.usage_user", "9\n");
  machine.put("sys/fs/cgroup/cpu/a/cpuacct.usage_sys", "8\n");
  const auto stat = must(cpu::stat(must(must(machine.host()).open("a"))));
  EXPECT_EQ(stat.nr_periods, 7U);
  EXPECT_FALSE(stat.usage);
  EXPECT_EQ(stat.user, 9ns);
  EXPECT_EQ(stat.skipped_lines, 1U);
}

TEST(CpuStat, AKernelBeforeCpuacctUsageUserCountsInTicks) {
  const test::MadeMachine machine(test::v1_mount("/sys/fs/cgroup/cpu", "cpu,cpuacct"));
  machine.put_v1("cpu");
  machine.put("sys/fs/cgroup/cpu/a/cgroup.procs", "");
  machine.put("sys/fs/cgroup/cpu/a/cpu.stat", "nr_periods 0\nnr_throttled 0\nthrottled_time 0\n");
  machine.put("sys/fs/cgroup/cpu/a/cpuacct.usage", "123456789\n");
  machine.put("sys/fs/cgroup/cpu/a/cpuacct.stat", "user 8\nsystem 4\n");
  const auto group = must(must(machine.host()).open("a"));
  const auto stat = must(cpu::stat(group));
  EXPECT_EQ(stat.usage, 123456789ns);
  EXPECT_EQ(stat.user, 80ms);
  EXPECT_EQ(stat.system, 40ms);
}

TEST(CpuStat, WithoutCpuacctThereIsNoUsage) {
  const test::MadeMachine machine(test::v1_mount("/sys/fs/cgroup/cpu", "cpu"));
  machine.put_v1("cpu");
  machine.put("sys/fs/cgroup/cpu/a/cgroup.procs", "");
  machine.put("sys/fs/cgroup/cpu/a/cpu.stat", "nr_periods 1\nnr_throttled 0\nthrottled_time 0\n");
  const auto group = must(must(machine.host()).open("a"));
  const auto stat = must(cpu::stat(group));
  EXPECT_FALSE(stat.usage);
  EXPECT_EQ(stat.nr_periods, 1U);
}

TEST(CpuRates, AreThoseOfTheTimeBetweenTwoSamples) {
  Stat before;
  before.usage = 10s;
  before.nr_periods = 100;
  before.nr_throttled = 10;
  Stat after = before;
  after.usage = 10500ms;
  after.nr_periods = 120;
  after.nr_throttled = 15;
  const Rates found = rates(before, after, 2s, Bandwidth::cpus(0.5));
  EXPECT_NEAR(found.cpus.value(), 0.25, 1e-9);
  EXPECT_NEAR(found.percent_of_limit.value(), 50, 1e-9);
  EXPECT_NEAR(found.percent_throttled.value(), 25, 1e-9);
}

TEST(CpuRates, AreAbsentWhereTheyMeanNothing) {
  Stat stat;
  stat.usage = 1s;
  stat.nr_periods = 5;
  stat.nr_throttled = 1;
  const Rates idle = rates(stat, stat, 1s, Bandwidth::none());
  EXPECT_EQ(idle.cpus, 0.0);
  EXPECT_FALSE(idle.percent_of_limit) << "no limit";
  EXPECT_FALSE(idle.percent_throttled) << "no period has passed";
  EXPECT_FALSE(rates(stat, stat, 0s, Bandwidth::cpus(1)).cpus) << "no time has passed";
  Stat less = stat;
  less.usage = 500ms;
  EXPECT_FALSE(rates(stat, less, 1s, Bandwidth::cpus(1)).cpus) << "another cgroup's figures";
}

}  // namespace cpu_stat_test
