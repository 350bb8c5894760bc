// SPDX-FileCopyrightText: The cgctl authors
// SPDX-License-Identifier: MIT
#include "cgctl/cpu.hpp"

#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <sched.h>
#include <signal.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cerrno>
#include <chrono>
#include <cmath>
#include <optional>
#include <stdexcept>
#include <string>
#include <thread>
#include <vector>

#include "../support/result.hpp"
#include "../support/skip.hpp"
#include "cgctl/filesystem.hpp"
#include "cgctl/group.hpp"
#include "real_cgroups.hpp"

namespace cpu_test {

using namespace cgctl;
using namespace cgctl::cpu;
using namespace std::chrono_literals;
using cgctl::test::must;
using cgctl::test::ok;
using ::testing::AnyOf;
using ::testing::HasSubstr;

using Clock = std::chrono::steady_clock;

/// A process that uses all the CPU time it gets, on one CPU if that is given.
class Burner {
 public:
  explicit Burner(const Group& group, std::optional<std::size_t> on_cpu = {}) : process_(::fork()) {
    if (process_ == 0) {
      if (on_cpu) {
        cpu_set_t set;
        CPU_ZERO(&set);
        CPU_SET(*on_cpu, &set);
        ::sched_setaffinity(0, sizeof set, &set);
      }
      for (volatile unsigned n = 0;;) n = n + 1;
    }
    must(group.attach(process_));
  }
  Burner(const Burner&) = delete;
  Burner& operator=(const Burner&) = delete;
  ~Burner() {
    ::kill(process_, SIGKILL);
    ::waitpid(process_, nullptr, 0);
  }

 private:
  pid_t process_;
};

/// A sleeping process with a real-time policy.
class RealTimeTask {
 public:
  RealTimeTask() : process_(::fork()) {
    if (process_ == 0) {
      for (;;) ::pause();
    }
    sched_param parameter{};
    parameter.sched_priority = 1;
    scheduled_ = ::sched_setscheduler(process_, SCHED_FIFO, &parameter) == 0;
  }
  RealTimeTask(const RealTimeTask&) = delete;
  RealTimeTask& operator=(const RealTimeTask&) = delete;
  ~RealTimeTask() {
    ::kill(process_, SIGKILL);
    ::waitpid(process_, nullptr, 0);
  }
  [[nodiscard]] bool scheduled() const { return scheduled_; }
  [[nodiscard]] pid_t pid() const { return process_; }

 private:
  pid_t process_;
  bool scheduled_ = false;
};

class RealCpu : public test::RealCgroups {
 protected:
  RealCpu() : RealCgroups(Needs::cpu_at_least) {}
  void SetUp() override {
    RealCgroups::SetUp();
    if (IsSkipped() || HasFatalFailure()) return;
    const Hierarchy* const cpu = host().find("cpu");
    if (cpu == nullptr) {
      test::skip("no cpu controller");
      return;
    }
    v1_ = cpu->version == Version::v1;
  }
  [[nodiscard]] bool v1() const { return v1_; }

  [[nodiscard]] Group made(std::string_view below) const {
    Creation how;
    how.controllers = {"cpu"};
    // v2 counts CPU time without cpuacct.
    if (host().find("cpuacct") != nullptr) how.controllers.emplace_back("cpuacct");
    return must(Group::create(host(), path(below), how));
  }
  static Change bandwidth(microseconds quota, microseconds period) {
    return change_to({quota, period, std::nullopt});
  }
  /// Returns quota, period and burst, in us, as the files show them.
  static std::string files(const Group& group) {
    const State state = must(Controller{group}.state());
    return (state.bandwidth->quota ? std::to_string(state.bandwidth->quota->count()) : "max") +
           "/" + std::to_string(state.bandwidth->period.count()) + "/" +
           std::to_string(state.bandwidth->burst.value_or(0us).count());
  }
  static std::string error_of(const Group& group, const Change& change) {
    const auto written = Controller{group}.set(change);
    return written ? "was written" : written.error().message();
  }

  /// Returns the CPUs that each group uses during `time`.
  static std::vector<Rates> measure(const std::vector<const Group*>& groups, Clock::duration time) {
    struct One {
      StatReader reader;
      Stat before;
      Clock::time_point at;
    };
    std::vector<One> all;
    for (const Group* group : groups) {
      all.push_back({must(StatReader::open(*group)), {}, {}});
      must(all.back().reader.read(all.back().before));
      all.back().at = Clock::now();
    }
    std::this_thread::sleep_for(time);
    std::vector<Rates> rates;
    for (std::size_t i = 0; i < all.size(); ++i) {
      Stat after;
      must(all[i].reader.read(after));
      rates.push_back(cpu::rates(all[i].before, after, Clock::now() - all[i].at,
                                 must(Controller{*groups[i]}.state()).bandwidth));
    }
    return rates;
  }

 private:
  bool v1_ = true;
};

// ---- effect of limits ----

TEST_F(RealCpu, AQuotaOfHalfThePeriodIsHalfACpu) {
  const Group group = made("half");
  ASSERT_TRUE(ok(Controller{group}.set(bandwidth(50ms, 100ms))));
  const Burner burner(group);
  const auto complaint = test::persist(3, [&]() -> std::string {
    const Rates rates = measure({&group}, 5s).front();
    if (std::abs(*rates.cpus - 0.5) > 0.03) return std::to_string(*rates.cpus) + " CPUs";
    if (!rates.percent_of_limit || std::abs(*rates.percent_of_limit - 100) > 6) return "the limit";
    if (!rates.percent_throttled || *rates.percent_throttled < 50) return "not throttled";
    return {};
  });
  EXPECT_EQ(complaint, "");
  EXPECT_GT(must(cpu::stat(group)).throttled.value(), 1s);
}

TEST_F(RealCpu, AQuotaOfTwoPeriodsIsTwoCpus) {
  if (std::thread::hardware_concurrency() < 2) {
    test::skip("one CPU");
    return;
  }
  const Group group = made("two");
  ASSERT_TRUE(ok(Controller{group}.set(bandwidth(200ms, 100ms))));
  const Burner first(group);
  const Burner second(group);
  // Other programs on the machine use a part of the two CPUs.
  const auto complaint = test::persist(5, [&]() -> std::string {
    const Rates rates = measure({&group}, 3s).front();
    return *rates.cpus > 1.7 && *rates.cpus < 2.06 ? "" : std::to_string(*rates.cpus) + " CPUs";
  });
  EXPECT_EQ(complaint, "");
}

TEST_F(RealCpu, SharesOfTwoToOneAreTimeOfTwoToOne) {
  const Group more = made("more");
  const Group less = made("less");
  ASSERT_TRUE(ok(Controller{more}.set_weight(Shares{1024})));
  ASSERT_TRUE(ok(Controller{less}.set_weight(Shares{512})));
  const Burner first(more, 0U);
  const Burner second(less, 0U);
  const auto complaint = test::persist(3, [&]() -> std::string {
    const auto rates = measure({&more, &less}, 4s);
    const double ratio = *rates[0].cpus / *rates[1].cpus;
    return ratio > 1.8 && ratio < 2.2 ? "" : std::to_string(ratio);
  });
  EXPECT_EQ(complaint, "");
}

TEST_F(RealCpu, AloneEvenTheSmallerShareGetsAllOfTheCpu) {
  const Group less = made("less");
  ASSERT_TRUE(ok(Controller{less}.set_weight(Shares{512})));
  const Burner burner(less, 0U);
  const auto complaint = test::persist(5, [&]() -> std::string {
    const Rates rates = measure({&less}, 2s).front();
    return *rates.cpus > 0.85 ? "" : std::to_string(*rates.cpus) + " CPUs";
  });
  EXPECT_EQ(complaint, "");
}

// ---- ends of the ranges ----

TEST_F(RealCpu, QuotaAndPeriodTakeTheirWholeRange) {
  const Group group = made("range");
  for (const auto& [quota, period] : std::vector<std::pair<microseconds, microseconds>>{
           {1ms, 1ms}, {1ms, 1s}, {1s, 1s}, {3600s, 1ms}, {50ms, 100ms}}) {
    ASSERT_TRUE(ok(Controller{group}.set(bandwidth(quota, period))));
    EXPECT_EQ(files(group),
              std::to_string(quota.count()) + "/" + std::to_string(period.count()) + "/0");
  }
  ASSERT_TRUE(ok(Controller{group}.set(Bandwidth::none())));
  EXPECT_EQ(files(group), "max/100000/0");
}

TEST_F(RealCpu, AValueOutOfRangeNamesTheRuleAndChangesNothing) {
  const Group group = made("range");
  ASSERT_TRUE(ok(Controller{group}.set(bandwidth(50ms, 100ms))));
  EXPECT_THAT(error_of(group, bandwidth(999us, 100ms)),
              HasSubstr("a quota of 999 us is too small"));
  EXPECT_THAT(error_of(group, bandwidth(0us, 100ms)), HasSubstr("a quota of 0 us is too small"));
  EXPECT_THAT(error_of(group, bandwidth(50ms, 999us)), HasSubstr("a period of 999 us is out of"));
  EXPECT_THAT(error_of(group, bandwidth(50ms, 1000001us)), HasSubstr("1000 us (1 ms) to 1000000"));
  EXPECT_EQ(files(group), "50000/100000/0");
}

TEST_F(RealCpu, SharesAreClampedOnV1AndRefusedOnV2) {
  const Group group = made("shares");
  const Controller controller{group};
  for (const std::uint64_t value : {0U, 10001U}) {
    const auto written = controller.set_weight(Weight{value});
    ASSERT_FALSE(written) << "on v1 either, which would clamp the shares";
    EXPECT_THAT(written.error().message(), HasSubstr("1 to 10000"));
  }
  if (!v1()) {
    EXPECT_EQ(must(controller.set_weight(Weight{10000})).front().kept, "10000");
    return;
  }
  const auto kept = [&](std::uint64_t shares) {
    return must(controller.set_weight(Shares{shares})).front().kept;
  };
  EXPECT_EQ(kept(0), "2");
  EXPECT_EQ(kept(1), "2");
  EXPECT_EQ(kept(2), "2");
  EXPECT_EQ(kept(262144), "262144");
  EXPECT_EQ(kept(300000), "262144");
  EXPECT_EQ(kept(1024), "1024");
}

TEST_F(RealCpu, ABurstIsAtMostTheQuota) {
  const Group group = made("burst");
  ASSERT_TRUE(ok(Controller{group}.set(bandwidth(50ms, 100ms))));
  if (!must(Controller{group}.state()).bandwidth->burst) {
    test::skip("no CPU burst before Linux 5.14");
    return;
  }
  Change burst;
  burst.burst = 50ms;
  ASSERT_TRUE(ok(Controller{group}.set(burst)));
  EXPECT_EQ(files(group), "50000/100000/50000");
  burst.burst = 51ms;
  EXPECT_THAT(error_of(group, burst), HasSubstr("a burst of 51000 us is above the quota of 50000"));
  Change down;
  down.cpus = 0.2;
  EXPECT_THAT(error_of(group, down), HasSubstr("lower the burst with it"));
  down.burst = 10ms;
  ASSERT_TRUE(ok(Controller{group}.set(down)));
  EXPECT_EQ(files(group), "20000/100000/10000");
  Change up;
  up.cpus = 1;
  up.burst = 90ms;
  ASSERT_TRUE(ok(Controller{group}.set(up)));
  EXPECT_EQ(files(group), "100000/100000/90000");
  ASSERT_TRUE(ok(Controller{group}.set(Bandwidth::none())));
}

TEST_F(RealCpu, OnV2TheWeightHasANiceValue) {
  if (v1()) {
    GTEST_SKIP() << "cgroup v1 has no cpu.weight.nice";
  }
  const Group group = made("nice");
  Change change;
  change.nice = -20;
  ASSERT_TRUE(ok(Controller{group}.set(change)));
  EXPECT_EQ(must(Controller{group}.state()).nice, -20);
  EXPECT_GT(must(Controller{group}.state()).weight->value, 1000U);
  change.nice = 19;
  ASSERT_TRUE(ok(Controller{group}.set(change)));
  EXPECT_LT(must(Controller{group}.state()).weight->value, 10U);
  change.nice = 20;
  EXPECT_THAT(error_of(group, change), HasSubstr("-20 to 19"));
}

TEST_F(RealCpu, OnV2AQuotaAndAPeriodAloneKeepTheOther) {
  if (v1()) {
    GTEST_SKIP() << "needs v2: on v1 these are two files";
  }
  const Group group = made("parts");
  EXPECT_FALSE(group.write("cpu.max", "-1")) << "the kernel refuses this";
  ASSERT_TRUE(ok(Controller{group}.set(bandwidth(50ms, 200ms))));
  Change quota;
  quota.quota = Quota{20ms};
  ASSERT_TRUE(ok(Controller{group}.set(quota)));
  EXPECT_EQ(files(group), "20000/200000/0");
  Change period;
  period.period = 100ms;
  ASSERT_TRUE(ok(Controller{group}.set(period)));
  EXPECT_EQ(files(group), "20000/100000/0");
}

// ---- order of writes ----

TEST_F(RealCpu, UnderACappedParentThePeriodCanShrinkAndGrow) {
  const Group parent = made("parent");
  ASSERT_TRUE(ok(Controller{parent}.set(bandwidth(50ms, 100ms))));
  const Group child = made("parent/child");
  ASSERT_TRUE(ok(Controller{child}.set(bandwidth(50ms, 100ms))));
  if (v1()) {
    EXPECT_FALSE(child.write("cpu.cfs_period_us", "50000")) << "the kernel refuses this";
  }
  ASSERT_TRUE(ok(Controller{child}.set(bandwidth(25ms, 50ms))));
  EXPECT_EQ(files(child), "25000/50000/0");
  if (v1()) {
    EXPECT_FALSE(child.write("cpu.cfs_quota_us", "50000"))
        << "the kernel refuses the other direction";
  }
  ASSERT_TRUE(ok(Controller{child}.set(bandwidth(100ms, 200ms))));
  EXPECT_EQ(files(child), "100000/200000/0");
}

TEST_F(RealCpu, ThePeriodCanChangeBetweenAParentAndAChildWithTheSameLimit) {
  const Group top = made("top");
  ASSERT_TRUE(ok(Controller{top}.set(bandwidth(50ms, 100ms))));
  const Group middle = made("top/middle");
  ASSERT_TRUE(ok(Controller{middle}.set(bandwidth(50ms, 100ms))));
  const Group low = made("top/middle/low");
  ASSERT_TRUE(ok(Controller{low}.set(bandwidth(50ms, 100ms))));
  ASSERT_TRUE(ok(Controller{middle}.set(bandwidth(25ms, 50ms))));
  EXPECT_EQ(files(middle), "25000/50000/0");
  ASSERT_TRUE(ok(Controller{middle}.set(bandwidth(100ms, 200ms))));
  EXPECT_EQ(files(middle), "100000/200000/0");
}

TEST_F(RealCpu, OnV1NoCgroupMayHaveMoreThanItsParent) {
  if (!v1()) {
    GTEST_SKIP() << "v2 accepts any limit: the parent's applies as well";
  }
  const Group parent = made("parent");
  ASSERT_TRUE(ok(Controller{parent}.set(bandwidth(50ms, 100ms))));
  (void)made("parent/between");
  const Group child = made("parent/between/child");
  EXPECT_THAT(error_of(child, bandwidth(60ms, 100ms)),
              HasSubstr("60000 us of 100000 us is more than " + parent.path() +
                        " above it has, 50000 us of 100000 us"));
  ASSERT_TRUE(ok(Controller{child}.set(bandwidth(50ms, 100ms))));
  EXPECT_THAT(error_of(parent, bandwidth(40ms, 100ms)),
              HasSubstr("is less than " + child.path() + " below it has"));
  EXPECT_EQ(files(parent), "50000/100000/0");
}

TEST_F(RealCpu, TheRootCannotBeLimited) {
  const Group root = must(host().open("/"));
  const Controller controller{root};
  const State before = must(controller.state());
  const auto written = controller.set(Bandwidth::cpus(0.5));
  ASSERT_FALSE(written);
  EXPECT_THAT(written.error().message(),
              AnyOf(HasSubstr("the root cannot be limited"), HasSubstr("the root of v2 has none")));
  if (before.bandwidth) {
    EXPECT_EQ(must(controller.state()).bandwidth->quota, before.bandwidth->quota);
  }
}

TEST_F(RealCpu, IdleChangesTheSharesAndBack) {
  const Group group = made("idle");
  const Controller controller{group};
  if (!must(controller.state()).idle) {
    test::skip("no cpu.idle before Linux 5.15");
    return;
  }
  ASSERT_TRUE(ok(controller.set_weight(Shares{512})));
  Change idle;
  idle.idle = true;
  ASSERT_TRUE(ok(controller.set(idle)));
  EXPECT_EQ(must(controller.state()).idle, true);
  const std::string file = v1() ? "cpu.shares" : "cpu.weight";
  EXPECT_THAT(must(group.read(file)), v1() ? AnyOf("3\n", "3\n") : AnyOf("0\n", "1\n"));
  EXPECT_EQ(group.write(file, "512").error().os_errno, EINVAL) << "the kernel refuses this";
  const auto written = controller.set_weight(Shares{512});
  ASSERT_FALSE(written);
  EXPECT_THAT(written.error().message(), HasSubstr("an idle cgroup has no share"));
  Change awake;
  awake.idle = false;
  ASSERT_TRUE(ok(controller.set(awake)));
  EXPECT_EQ(group.read(v1() ? "cpu.shares" : "cpu.weight"), v1() ? "1024\n" : "100\n")
      << "the kernel has forgotten them";
  awake.shares = Shares{512};
  ASSERT_TRUE(ok(controller.set(idle)));
  ASSERT_TRUE(ok(controller.set(awake)));
  EXPECT_EQ(group.read(v1() ? "cpu.shares" : "cpu.weight"), v1() ? "512\n" : "50\n");
}

TEST_F(RealCpu, RollingBackAChangeToIdleKeepsTheShares) {
  const Group group = made("idle");
  const Controller controller{group};
  if (!must(controller.state()).idle) {
    test::skip("no cpu.idle before Linux 5.15");
    return;
  }
  ASSERT_TRUE(ok(controller.set_weight(Shares{512})));
  Change idle;
  idle.idle = true;
  auto settings = must(controller.plan(idle));
  settings.push_back({v1() ? "cpu.cfs_period_us" : "cpu.max", "x"});
  ASSERT_FALSE(settings::apply(group, settings));
  const State state = must(controller.state());
  EXPECT_EQ(state.idle, false);
  EXPECT_EQ(v1() ? state.shares->value : state.weight->value, v1() ? 512U : 50U);
}

TEST_F(RealCpu, ABadValueRestoresTheFourBeforeIt) {
  const Group group = made("transaction");
  const Controller controller{group};
  ASSERT_TRUE(ok(controller.set(bandwidth(50ms, 100ms))));
  ASSERT_TRUE(ok(controller.set_weight(Shares{2048})));
  const auto text = [&] {
    return files(group) + " " + group.read(v1() ? "cpu.shares" : "cpu.weight").value();
  };
  const std::string before = text();
  Change change = bandwidth(20ms, 50ms);
  change.shares = Shares{512};
  auto settings = must(controller.plan(change));
  settings.push_back({v1() ? "cpu.shares" : "cpu.weight", v1() ? "600" : "60"});
  settings.push_back({v1() ? "cpu.cfs_quota_us" : "cpu.max", "7"});
  ASSERT_GE(settings.size(), 4U);
  const auto written = settings::apply(group, settings);
  ASSERT_FALSE(written);
  EXPECT_THAT(written.error().message(), HasSubstr("the other values are as before"));
  EXPECT_EQ(text(), before);
}

// ---- real-time budgets ----

class RealTimeBudget : public RealCpu {
 protected:
  void SetUp() override {
    RealCpu::SetUp();
    if (IsSkipped() || HasFatalFailure()) return;
    if (!v1()) {
      GTEST_SKIP() << "cgroup v2 has no real-time budgets";
    }
    const Group probe = made("probe");
    if (!must(Controller{probe}.state()).real_time) {
      test::skip("the kernel lacks CONFIG_RT_GROUP_SCHED");
    }
  }
  static Change budget(microseconds runtime) {
    Change change;
    change.rt_runtime = runtime;
    return change;
  }
  /// A part of the root's budget that is small enough to leave something for others.
  static constexpr microseconds some{20ms};
};

TEST_F(RealTimeBudget, ANewCgroupHasNoneAndRefusesRealTimeTasks) {
  const Group group = made("rt");
  EXPECT_EQ(must(Controller{group}.state()).real_time->runtime, 0us);
  const RealTimeTask task;
  ASSERT_TRUE(task.scheduled());
  const auto attached = group.attach(task.pid());
  ASSERT_FALSE(attached);
  EXPECT_THAT(attached.error().message(), HasSubstr("rt_runtime"));
}

TEST_F(RealTimeBudget, AcceptsARealTimeTaskAndThenCannotBeSetToZero) {
  const Group top = must(host().open(path()));
  ASSERT_TRUE(ok(Controller{top}.set(budget(some))));
  const Group group = made("rt");
  ASSERT_TRUE(ok(Controller{group}.set(budget(some))));
  {
    const RealTimeTask task;
    ASSERT_TRUE(task.scheduled());
    ASSERT_TRUE(ok(group.attach(task.pid())));
    EXPECT_THAT(error_of(group, budget(0us)), HasSubstr("there are real-time tasks in it"));
  }
  EXPECT_TRUE(test::eventually([&] { return Controller{group}.set(budget(0us)).has_value(); }));
}

TEST_F(RealTimeBudget, IsAtMostThePeriodAndTheParentsBudget) {
  const Group top = must(host().open(path()));
  ASSERT_TRUE(ok(Controller{top}.set(budget(some))));
  const Group group = made("rt");
  EXPECT_THAT(error_of(group, budget(some + 1ms)),
              HasSubstr("cpu.rt_runtime_us of " + path() + " above it is 20000 us of 1000000 us"));
  EXPECT_THAT(error_of(group, budget(2s)), HasSubstr("is more than its period of 1000000 us"));
  EXPECT_THAT(error_of(group, budget(-1us)), HasSubstr("must be a limit"));
  ASSERT_TRUE(ok(Controller{group}.set(budget(some))));
  EXPECT_FALSE(ok(Controller{top}.set(budget(0us)))) << "a child cgroup has a budget";
  Change shorter = budget(some / 2);
  shorter.rt_period = 500ms;
  ASSERT_TRUE(ok(Controller{group}.set(shorter)));
  Change longer = budget(some * 2);
  longer.rt_period = 2s;
  ASSERT_TRUE(ok(Controller{group}.set(longer)));
  const RealTime kept = *must(Controller{group}.state()).real_time;
  EXPECT_EQ(kept.runtime, some * 2);
  EXPECT_EQ(kept.period, 2s);
}

TEST_F(RealTimeBudget, ChangesFromAnyValueToAnyOtherBetweenParentAndChild) {
  const Group top = must(host().open(path()));
  ASSERT_TRUE(ok(Controller{top}.set(budget(some))));
  const Group group = made("rt");
  const Group below = made("rt/below");
  const auto move_to = [&](const RealTime& next) {
    Change change = budget(next.runtime);
    change.rt_period = next.period;
    const auto written = Controller{group}.set(change);
    const RealTime kept = *must(Controller{group}.state()).real_time;
    EXPECT_EQ(kept.runtime, next.runtime) << (written ? "" : written.error().message());
    EXPECT_EQ(kept.period, next.period);
    return written ? written->size() : 0;
  };
  move_to({0us, 50ms});
  EXPECT_EQ(move_to({5ms, 300ms}), 2U) << "5 ms of 50 ms are more than the parent has";
  move_to({10ms, 1s});
  ASSERT_TRUE(ok(Controller{below}.set(budget(10ms))));
  EXPECT_GT(move_to({2ms, 100ms}), 2U) << "its child uses half of it";
  EXPECT_GT(move_to({10ms, 1s}), 2U);
  EXPECT_THAT(error_of(group, budget(9ms)), HasSubstr("less than the cgroups below it have"));
  ASSERT_TRUE(ok(Controller{below}.set(budget(0us))));
  move_to({0us, 1s});
}

TEST_F(RealCpu, RollingBackANiceValueRestoresTheWeight) {
  if (v1()) GTEST_SKIP() << "cgroup v1 has no cpu.weight.nice";
  const Group group = made("nice");
  ASSERT_TRUE(ok(Controller{group}.set_weight(Weight{150})));
  ASSERT_FALSE(settings::apply(group, {{"cpu.weight.nice", "5"}, {"cpu.max", "x"}}));
  EXPECT_EQ(must(group.read("cpu.weight")), "150\n");
}

TEST_F(RealCpu, RollingBackAChangeOfAnIdleCgroupRestoresItsShare) {
  const Group group = made("idle");
  if (!must(Controller{group}.state()).idle) return test::skip("no cpu.idle before Linux 5.15");
  const std::string file = v1() ? "cpu.shares" : "cpu.weight";
  ASSERT_TRUE(ok(group.write(file, "512")));
  const auto written =
      settings::apply(group, {{"cpu.idle", "1"}, {v1() ? "cpu.cfs_period_us" : "cpu.max", "x"}});
  ASSERT_FALSE(written);
  EXPECT_THAT(written.error().message(), HasSubstr("the other values are as before"));
  EXPECT_EQ(must(group.read("cpu.idle")), "0\n");
  EXPECT_EQ(must(group.read(file)), "512\n");
}

// ---- figures ----

TEST_F(RealCpu, UsageIsTheSumOfUserAndSystemTimeAndOfAllCpus) {
  const Group group = made("figures");
  Stat stat;
  {
    const Burner burner(group);
    // v1 samples user and system time at each tick; some samples come late.
    EXPECT_TRUE(test::eventually([&] {
      stat = must(cpu::stat(group));
      const double parts = static_cast<double>((*stat.user + *stat.system).count()) /
                           static_cast<double>(stat.usage->count());
      return *stat.usage > 400ms && parts > 0.6 && parts < 1.4;
    }));
  }
  stat = must(cpu::stat(group));
  const auto each = usage_per_cpu(group);
  if (!v1()) {
    EXPECT_EQ(each.error().kind, errc::unsupported);
    return;
  }
  ASSERT_TRUE(ok(each));
  nanoseconds sum{};
  for (const nanoseconds one : *each) sum += one;
  EXPECT_GE(each->size(), std::thread::hardware_concurrency());
  EXPECT_NEAR(static_cast<double>(sum.count()), static_cast<double>(stat.usage->count()), 5e6);
}

TEST_F(RealCpu, AKeptReaderNoticesThatItsCgroupWasRemoved) {
  const Group group = made("gone");
  const StatReader reader = must(StatReader::open(group));
  Stat stat;
  ASSERT_TRUE(ok(reader.read(stat)));
  ASSERT_TRUE(ok(group.remove()));
  EXPECT_TRUE(test::fails(reader.read(stat), errc::vanished));
}

}  // namespace cpu_test
