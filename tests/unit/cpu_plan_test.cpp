// SPDX-FileCopyrightText: The cgctl authors
// SPDX-License-Identifier: MIT
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <cmath>
#include <optional>
#include <string>
#include <vector>

#include "../support/result.hpp"
#include "cgctl/cpu.hpp"

namespace cpu_plan_test {

using namespace cgctl;
using namespace cgctl::cpu;
using namespace std::chrono_literals;
using cgctl::test::fails;
using cgctl::test::must;
using cgctl::test::ok;
using settings::Setting;
using ::testing::HasSubstr;

/// Returns the plan as "FILE=VALUE FILE=VALUE", or the error.
std::string planned(const State& now, const Change& wanted) {
  const auto settings = plan(now, wanted);
  if (!settings) return settings.error().message();
  std::string text;
  for (const Setting& setting : *settings) {
    text += (text.empty() ? "" : " ") + setting.file + "=" + setting.value;
  }
  return text;
}

std::string v1_names(std::string text) {
  const auto replace = [&text](const std::string& word, const std::string& by) {
    for (std::size_t at = text.find(word); at != std::string::npos; at = text.find(word)) {
      text.replace(at, word.size(), by);
    }
  };
  replace("cpu.cfs_quota_us", "q");
  replace("cpu.cfs_period_us", "p");
  replace("cpu.cfs_burst_us", "b");
  return text;
}

State v1(std::optional<microseconds> quota, microseconds period = 100ms, microseconds burst = 0us) {
  State state;
  state.version = Version::v1;
  state.bandwidth = Bandwidth{quota, period, burst};
  state.shares = Shares{1024};
  state.idle = false;
  state.real_time = RealTime{0us, 1s};
  return state;
}

State v2(std::optional<microseconds> quota, microseconds period = 100ms, microseconds burst = 0us) {
  State state;
  state.version = Version::v2;
  state.bandwidth = Bandwidth{quota, period, burst};
  state.weight = Weight{100};
  state.nice = 0;
  state.idle = false;
  return state;
}

Change quota(std::optional<microseconds> limit) {
  Change change;
  change.quota = Quota{limit};
  return change;
}

Change quota_and_period(std::optional<microseconds> limit, microseconds period) {
  Change change = quota(limit);
  change.period = period;
  return change;
}

TEST(CpuPlan, OnV1TheOrderOfQuotaAndPeriodAllowsLittleCpuTimeInBetween) {
  const auto order = [](const State& now, const Change& wanted) {
    return v1_names(planned(now, wanted));
  };
  EXPECT_EQ(order(v1(50ms), quota(20ms)), "q=20000");
  EXPECT_EQ(order(v1(50ms), quota(std::nullopt)), "q=-1");
  EXPECT_EQ(order(v1(50ms), quota_and_period(25ms, 50ms)), "q=25000 p=50000") << "both shrink";
  EXPECT_EQ(order(v1(50ms), quota_and_period(100ms, 200ms)), "p=200000 q=100000") << "both grow";
  EXPECT_EQ(order(v1(50ms), quota_and_period(100ms, 50ms)), "q=100000 p=50000");
  EXPECT_EQ(order(v1(std::nullopt), quota_and_period(100ms, 50ms)), "p=50000 q=100000");
  EXPECT_EQ(order(v1(50ms), quota_and_period(std::nullopt, 200ms)), "q=-1 p=200000");
  Change period;
  period.period = 50ms;
  EXPECT_EQ(order(v1(50ms), period), "p=50000") << "the quota stays";
}

TEST(CpuPlan, WithChildrenTheQuotaIsRemovedForAMoment) {
  State now = v1(50ms);
  now.has_children = true;
  const auto settings = plan(now, quota_and_period(25ms, 50ms));
  ASSERT_TRUE(ok(settings));
  EXPECT_EQ(v1_names(planned(now, quota_and_period(25ms, 50ms))), "q=-1 p=50000 q=25000");
  EXPECT_EQ(settings->back().restore, "-1") << "the rollback restores it before the period";
  EXPECT_EQ(v1_names(planned(now, quota_and_period(100ms, 50ms))), "q=100000 p=50000")
      << "the value in between is valid, so two writes suffice";
}

TEST(CpuPlan, OnV2BothAreOneWrite) {
  EXPECT_EQ(planned(v2(50ms), quota(20ms)), "cpu.max=20000 100000");
  EXPECT_EQ(planned(v2(50ms), quota(std::nullopt)), "cpu.max=max 100000");
  EXPECT_EQ(planned(v2(50ms), quota_and_period(100ms, 200ms)), "cpu.max=100000 200000");
  Change period;
  period.period = 50ms;
  EXPECT_EQ(planned(v2(20ms), period), "cpu.max=20000 50000") << "the quota stays";
  EXPECT_EQ(planned(v2(std::nullopt), period), "cpu.max=max 50000");
}

TEST(CpuPlan, TheBurstFallsBeforeTheQuotaAndRisesAfterIt) {
  Change down = quota(20ms);
  down.burst = 10ms;
  EXPECT_EQ(v1_names(planned(v1(50ms, 100ms, 40ms), down)), "b=10000 q=20000");
  EXPECT_EQ(planned(v2(50ms, 100ms, 40ms), down), "cpu.max.burst=10000 cpu.max=20000 100000");
  Change up = quota(80ms);
  up.burst = 70ms;
  EXPECT_EQ(v1_names(planned(v1(50ms, 100ms, 40ms), up)), "q=80000 b=70000");
  EXPECT_EQ(planned(v2(50ms, 100ms, 40ms), up), "cpu.max=80000 100000 cpu.max.burst=70000");
}

TEST(CpuPlan, ABurstAboveTheQuotaIsRefused) {
  EXPECT_TRUE(fails(plan(v1(50ms, 100ms, 40ms), quota(20ms)), errc::invalid_argument));
  EXPECT_THAT(planned(v2(50ms, 100ms, 40ms), quota(20ms)),
              HasSubstr("a burst of 40000 us is above the quota of 20000 us (lower the burst"));
  EXPECT_TRUE(ok(plan(v1(50ms, 100ms, 40ms), quota(std::nullopt)))) << "no quota, no rule";
  State old = v1(50ms);
  old.bandwidth->burst.reset();
  Change burst;
  burst.burst = 10ms;
  EXPECT_TRUE(fails(plan(old, burst), errc::unsupported));
}

TEST(CpuPlan, ANumberOfCpusIsAQuotaOfThePeriod) {
  Change half;
  half.cpus = 0.5;
  EXPECT_EQ(v1_names(planned(v1(std::nullopt), half)), "q=50000");
  EXPECT_EQ(v1_names(planned(v1(std::nullopt, 20ms), half)), "q=10000") << "the present period";
  half.period = 50ms;
  EXPECT_EQ(planned(v2(std::nullopt), half), "cpu.max=25000 50000") << "or will have";
  Change two;
  two.cpus = 2;
  EXPECT_EQ(v1_names(planned(v1(50ms), two)), "q=200000");
}

TEST(CpuPlan, ForAVerySmallQuotaThePeriodIsLengthened) {
  Change little;
  little.cpus = 0.005;
  EXPECT_EQ(planned(v2(std::nullopt), little), "cpu.max=1000 200000");
  little.period = 100ms;
  EXPECT_EQ(planned(v2(std::nullopt), little), "cpu.max=500 100000")
      << "not if the period was given";
  const Bandwidth least = Bandwidth::cpus(0.001);
  EXPECT_EQ(least.quota, 1000us);
  EXPECT_EQ(least.period, 1s);
  EXPECT_NEAR(Bandwidth::cpus(0.3).cpus().value(), 0.3, 1e-9);
  EXPECT_FALSE(Bandwidth::none().cpus());
}

TEST(CpuPlan, ALengthenedPeriodReturnsToTheDefaultIfThatIsEnough) {
  Change change;
  change.cpus = 0.5;
  EXPECT_EQ(v1_names(planned(v1(1ms, 1s), change)), "q=50000 p=100000");
  EXPECT_EQ(planned(v2(1ms, 1s), change), "cpu.max=50000 100000");
  EXPECT_EQ(planned(v2(2ms, 1s), change), "cpu.max=500000 1000000") << "somebody's own period";
  EXPECT_EQ(planned(v2(1ms, 20ms), change), "cpu.max=10000 20000") << "a short one too";
  change.cpus = 0.002;
  EXPECT_EQ(planned(v2(1ms, 1s), change), "cpu.max=1000 500000") << "as long as needed";
  EXPECT_EQ(planned(v2(1ms, 1s), quota(std::nullopt)), "cpu.max=max 100000");
  EXPECT_EQ(v1_names(planned(v1(1ms, 1s), quota(std::nullopt))), "q=-1 p=100000");
  EXPECT_EQ(planned(v2(1ms, 1s), quota(5ms)), "cpu.max=5000 1000000") << "a quota of its period";
}

TEST(CpuPlan, AnInvalidNumberOfCpusIsRefused) {
  for (const double count : {0.0, -1.0, 1e9, std::nan(""), HUGE_VAL}) {
    Change change;
    change.cpus = count;
    EXPECT_TRUE(fails(plan(v1(50ms), change), errc::invalid_argument)) << count;
  }
}

TEST(CpuPlan, ANegativeQuotaIsNotNoQuota) {
  EXPECT_TRUE(fails(plan(v1(50ms), quota(-1us)), errc::invalid_argument));
}

TEST(CpuPlan, TheTwoWaysToNameAQuotaExcludeEachOther) {
  Change both = quota(50ms);
  both.cpus = 1;
  EXPECT_TRUE(fails(plan(v1(50ms), both), errc::invalid_argument));
}

TEST(CpuPlan, AShareIsConvertedToTheVersionsForm) {
  Change shares;
  shares.shares = Shares{512};
  EXPECT_EQ(planned(v1(50ms), shares), "cpu.shares=512");
  EXPECT_EQ(planned(v2(50ms), shares), "cpu.weight=50");
  shares.conversion = Conversion::oci2025;
  EXPECT_EQ(planned(v2(50ms), shares), "cpu.weight=59");
  Change weight;
  weight.weight = Weight{200};
  EXPECT_EQ(planned(v1(50ms), weight), "cpu.shares=2048");
  EXPECT_EQ(planned(v2(50ms), weight), "cpu.weight=200");
}

TEST(CpuPlan, SharesThatMeanUnsetInOciChangeNothing) {
  Change unset;
  unset.shares = Shares{0};
  unset.conversion = Conversion::oci2025;
  EXPECT_EQ(planned(v2(50ms), unset), "");
}

TEST(CpuPlan, BecomingIdleRemembersTheShareForTheWayBack) {
  Change idle;
  idle.idle = true;
  EXPECT_EQ(planned(v1(50ms), idle), "cpu.idle=1");
  EXPECT_EQ(planned(v2(50ms), idle), "cpu.idle=1");
  State already = v1(50ms);
  already.idle = true;
  already.shares = Shares{3};
  EXPECT_EQ(planned(already, idle), "cpu.idle=1") << "an idle cgroup accepts no shares";
}

TEST(CpuPlan, AnIdleCgroupGetsAShareOnlyWhenItIsWoken) {
  State idle = v1(50ms);
  idle.idle = true;
  Change shares;
  shares.shares = Shares{512};
  EXPECT_TRUE(fails(plan(idle, shares), errc::invalid_argument));
  EXPECT_THAT(planned(idle, shares), HasSubstr("set cpu.idle to 0 with it"));
  shares.idle = false;
  EXPECT_EQ(planned(idle, shares), "cpu.idle=0 cpu.shares=512");
  shares.idle = true;
  EXPECT_TRUE(fails(plan(v1(50ms), shares), errc::invalid_argument));
}

TEST(CpuPlan, AWeightOutOfRangeIsRefusedOnBothVersions) {
  for (const std::uint64_t value : {std::uint64_t{0}, std::uint64_t{10001}, std::uint64_t{20000}}) {
    Change change;
    change.weight = Weight{value};
    EXPECT_TRUE(fails(plan(v1(50ms), change), errc::invalid_argument));
    EXPECT_TRUE(fails(plan(v2(50ms), change), errc::invalid_argument));
    EXPECT_THAT(planned(v1(50ms), change), HasSubstr("1 to 10000"));
  }
}

TEST(CpuPlan, SharesBesideAWeightAreRefusedOnBothVersions) {
  Change both;
  both.shares = Shares{1024};
  both.weight = Weight{100};
  EXPECT_TRUE(fails(plan(v1(50ms), both), errc::invalid_argument));
  EXPECT_TRUE(fails(plan(v2(50ms), both), errc::invalid_argument));
  EXPECT_THAT(planned(v2(50ms), both), HasSubstr("give one of them"));
}

TEST(CpuPlan, NiceIsAnotherNameForTheWeightOnV2) {
  Change nice;
  nice.nice = -5;
  EXPECT_EQ(planned(v2(50ms), nice), "cpu.weight.nice=-5");
  EXPECT_TRUE(fails(plan(v1(50ms), nice), errc::unsupported));
  nice.weight = Weight{100};
  EXPECT_TRUE(fails(plan(v2(50ms), nice), errc::invalid_argument));
}

TEST(CpuPlan, TheOrderOfARealTimeBudgetAllowsLittleInBetween) {
  const auto order = [](microseconds runtime, microseconds period, std::int64_t below) {
    State now = v1(std::nullopt);
    now.real_time = RealTime{400ms, 1s};
    now.real_time_room.least = below;
    Change change;
    change.rt_runtime = runtime;
    change.rt_period = period;
    return planned(now, change);
  };
  constexpr std::int64_t forty_percent = 419430;
  EXPECT_EQ(order(200ms, 500ms, 0), "cpu.rt_runtime_us=200000 cpu.rt_period_us=500000");
  EXPECT_EQ(order(800ms, 2s, 0), "cpu.rt_period_us=2000000 cpu.rt_runtime_us=800000");
  EXPECT_EQ(order(200ms, 500ms, forty_percent), "cpu.rt_period_us=500000 cpu.rt_runtime_us=200000");
  EXPECT_EQ(order(800ms, 2s, forty_percent), "cpu.rt_runtime_us=800000 cpu.rt_period_us=2000000");
  EXPECT_EQ(order(1500ms, 2s, 0), "cpu.rt_period_us=2000000 cpu.rt_runtime_us=1500000")
      << "a runtime never exceeds its period";
  EXPECT_EQ(order(1500ms, 2s, forty_percent),
            "cpu.rt_runtime_us=1000000 cpu.rt_period_us=2000000 cpu.rt_runtime_us=1500000");
  EXPECT_EQ(order(100ms, 2s, 0), "cpu.rt_runtime_us=100000 cpu.rt_period_us=2000000");
}

/// True if the kernel's rules (tg_rt_schedulable()) allow the budget of a cgroup whose parent has
/// the share `above` and whose children have `below`.
bool allowed(const RealTime& budget, double above, double below) {
  const double share =
      static_cast<double>(budget.runtime.count()) / static_cast<double>(budget.period.count());
  const auto units = [](double cpus) { return static_cast<std::int64_t>(cpus * (1 << 20)); };
  return budget.runtime <= budget.period && units(below) <= units(share) &&
         units(share) <= units(above);
}

TEST(CpuPlan, EveryAllowedTransitionOfARealTimeBudgetIsAllowedAtEachOfItsSteps) {
  std::vector<RealTime> states;
  for (const microseconds period : {10ms, 50ms, 100ms, 300ms, 1000ms, 2000ms}) {
    for (const microseconds runtime : {0ms, 1ms, 10ms, 50ms, 100ms, 300ms, 1000ms}) {
      states.push_back({runtime, period});
    }
  }
  std::size_t tried = 0;
  std::size_t more_than_two = 0;
  for (const double above : {0.3, 0.4, 1.0}) {
    for (const double below : {0.0, 0.05, 0.25, 0.29}) {
      for (const RealTime& from : states) {
        for (const RealTime& to : states) {
          if (!allowed(from, above, below) || !allowed(to, above, below)) continue;
          State now = v1(std::nullopt);
          now.real_time = from;
          now.real_time_room = {static_cast<std::int64_t>(below * (1 << 20)),
                                static_cast<std::int64_t>(above * (1 << 20))};
          Change change;
          change.rt_runtime = to.runtime;
          change.rt_period = to.period;
          const auto settings = must(plan(now, change));
          ++tried;
          if (settings.size() > 2) ++more_than_two;
          RealTime at = from;
          for (const Setting& setting : settings) {
            microseconds& part = setting.file == "cpu.rt_period_us" ? at.period : at.runtime;
            EXPECT_EQ(std::to_string(part.count()), setting.restore);
            part = microseconds(std::stoll(setting.value));
            ASSERT_TRUE(allowed(at, above, below))
                << planned(now, change) << " from " << from.runtime.count() << "/"
                << from.period.count() << " below " << above << " above " << below;
          }
          EXPECT_EQ(at.runtime, to.runtime);
          EXPECT_EQ(at.period, to.period);
        }
      }
    }
  }
  EXPECT_GT(tried, 1000U);
  EXPECT_GT(more_than_two, 10U);
}

TEST(CpuPlan, RealTimeBudgetsNeedV1AndAKernelThatHasThem) {
  Change change;
  change.rt_runtime = 100ms;
  EXPECT_TRUE(fails(plan(v2(50ms), change), errc::unsupported));
  State without = v1(50ms);
  without.real_time.reset();
  EXPECT_TRUE(fails(plan(without, change), errc::unsupported));
  EXPECT_THAT(planned(without, change), HasSubstr("CONFIG_RT_GROUP_SCHED"));
}

TEST(CpuPlan, AFileThatTheCgroupLacksIsNamed) {
  State root;
  root.version = Version::v2;
  Change weight;
  weight.weight = Weight{100};
  Change idle;
  idle.idle = true;
  for (const Change& change : {quota(50ms), weight, idle}) {
    EXPECT_TRUE(fails(plan(root, change), errc::unsupported));
  }
}

TEST(CpuPlan, AnEmptyChangeWritesNothing) {
  EXPECT_TRUE(Change{}.empty());
  EXPECT_EQ(planned(v1(50ms), {}), "");
}

/// The kernel's rules for cpu.cfs_* (tg_set_cfs_bandwidth(), tg_cfs_schedulable_down()), for one
/// cgroup with a parent and a child.
class KernelRules {
 public:
  using Cap = std::optional<double>;
  KernelRules(const Bandwidth& now, Cap above, Cap below)
      : now_(now), above_(above), below_(below) {}

  [[nodiscard]] bool hold() const {
    if (now_.quota && now_.burst > now_.quota) return false;
    const Cap own = now_.quota ? now_.cpus() : above_;
    if (own && above_ && *own > *above_ + 1e-9) return false;
    return !own || !below_ || *below_ <= *own + 1e-9;
  }

  bool write(const std::string& file, const std::string& value) {
    const microseconds number(std::stoll(value));
    if (file == "cpu.cfs_quota_us") {
      now_.quota = number < 0us ? std::nullopt : std::optional(number);
    } else if (file == "cpu.cfs_period_us") {
      now_.period = number;
    } else if (file == "cpu.cfs_burst_us") {
      now_.burst = number;
    } else {
      return false;
    }
    return hold();
  }

 private:
  Bandwidth now_;
  Cap above_;
  Cap below_;
};

std::string text_of(const Bandwidth& now, const std::string& file) {
  if (file == "cpu.cfs_quota_us") return now.quota ? std::to_string(now.quota->count()) : "-1";
  return std::to_string(file == "cpu.cfs_period_us" ? now.period.count() : now.burst->count());
}

/// Tries every transition between two allowed states, and the way back from each of its steps.
TEST(CpuPlan, EveryAllowedTransitionIsAllowedAtEachOfItsSteps) {
  std::vector<Bandwidth> states;
  for (const auto& limit :
       std::vector<std::optional<microseconds>>{std::nullopt, 10ms, 25ms, 50ms, 100ms, 200ms}) {
    for (const microseconds period : {20ms, 50ms, 100ms, 200ms}) {
      for (const microseconds burst : {0us, microseconds(10ms), microseconds(25ms)}) {
        states.push_back({limit, period, burst});
      }
    }
  }
  std::size_t tried = 0;
  const std::vector<KernelRules::Cap> above = {std::nullopt, 0.5, 1.0, 2.0};
  const std::vector<KernelRules::Cap> below = {std::nullopt, 0.25, 0.5, 1.0};
  for (const auto& cap : above) {
    for (const auto& need : below) {
      for (const Bandwidth& from : states) {
        for (const Bandwidth& to : states) {
          if (!KernelRules(from, cap, need).hold() || !KernelRules(to, cap, need).hold()) continue;
          State now = v1(from.quota, from.period, *from.burst);
          now.has_children = need.has_value();
          const auto settings = must(plan(now, change_to(to)));
          ++tried;
          KernelRules kernel(from, cap, need);
          for (std::size_t i = 0; i < settings.size(); ++i) {
            ASSERT_TRUE(kernel.write(settings[i].file, settings[i].value))
                << v1_names(planned(now, change_to(to))) << " at step " << i << " from "
                << text_of(from, "cpu.cfs_quota_us") << "/" << from.period.count();
            KernelRules undone = kernel;
            for (std::size_t back = i + 1; back-- > 0;) {
              const Setting& setting = settings[back];
              const std::string old =
                  setting.restore.empty() ? text_of(from, setting.file) : setting.restore;
              ASSERT_TRUE(undone.write(setting.file, old)) << "back from step " << i;
            }
          }
        }
      }
    }
  }
  EXPECT_GT(tried, 10000U);
}

}  // namespace cpu_plan_test
