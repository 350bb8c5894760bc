// SPDX-FileCopyrightText: The cgctl authors
// SPDX-License-Identifier: MIT
#include "cgctl/memory.hpp"

#include <fcntl.h>
#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <poll.h>
#include <signal.h>
#include <sys/mman.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cerrno>
#include <chrono>
#include <cstring>
#include <string>
#include <thread>

#include "../support/result.hpp"
#include "../support/skip.hpp"
#include "cgctl/group.hpp"
#include "cgctl/memory_events.hpp"
#include "cgctl/memory_stat.hpp"
#include "real_cgroups.hpp"

namespace memory_test {

using namespace cgctl;
using namespace cgctl::memory;
using namespace std::chrono_literals;
using cgctl::test::fails;
using cgctl::test::must;
using cgctl::test::ok;
using ::testing::HasSubstr;

constexpr std::uint64_t MiB = 1 << 20;

/// Locks memory, which only the end of its process frees.
int use(std::uint64_t bytes) {
  void* const memory =
      ::mmap(nullptr, bytes, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
  if (memory == MAP_FAILED) return errno;
  std::memset(memory, 1, bytes);
  return ::mlock(memory, bytes) == 0 ? 0 : errno;
}

/// Fills 8 MiB of page cache and writes them back.
int fill(const std::string& file) {
  const std::string text(64 << 10, 'x');
  const int fd = ::open(file.c_str(), O_WRONLY | O_CREAT | O_CLOEXEC, 0600);
  if (fd < 0) return errno;
  for (std::uint64_t written = 0; written < 8 * MiB; written += text.size()) {
    if (::write(fd, text.data(), text.size()) < 0) return errno;
  }
  return ::fsync(fd) == 0 && ::close(fd) == 0 ? 0 : errno;
}

class RealMemory : public test::RealCgroups {
 protected:
  [[nodiscard]] Group made(std::string_view below) const {
    return must(Group::create(host(), path(below), {{"memory"}, std::nullopt}));
  }
  template <class T>
  static bool lacks(const Result<T>& result) {
    return !result && result.error().kind == errc::unsupported;
  }
  static Change max(std::uint64_t bytes) {
    Change change;
    change.max = Limit{bytes};
    return change;
  }
  static std::string error_of(const Group& group, const Change& change) {
    const auto written = Controller{group}.set(change);
    return written ? "was written" : written.error().message();
  }
  [[nodiscard]] bool needs_v1() const {
    if (v2()) [] { GTEST_SKIP() << "needs the v1 memory controller"; }();
    return v2();
  }
};

/// Returns a change that limits memory to `bytes` and leaves no swap to move to.
Change at_most(const Group& group, std::uint64_t bytes) {
  Change change;
  change.max = Limit{bytes};
  const State state = must(Controller{group}.state());
  if (state.memsw_max) change.memsw_max = Limit{bytes};
  if (state.swap_max) change.swap_max = Limit{0};
  return change;
}

/// True if a process that needs 64 MiB is killed in the cgroup at `directory`.
bool is_killed(const std::string& directory) {
  const pid_t child = ::fork();
  if (child == 0) ::_exit(test::enter(directory) == 0 ? use(64 * MiB) : 1);
  int status = 0;
  return ::waitpid(child, &status, 0) == child && WIFSIGNALED(status) &&
         WTERMSIG(status) == SIGKILL;
}

// ---- limits ----

TEST_F(RealMemory, ALimitIsRoundedDownToPages) {
  const Group group = made("limit");
  const auto written = must(Controller{group}.set(max(10'000'000)));
  ASSERT_EQ(written.size(), 1U);
  EXPECT_EQ(written.front().asked, "10000000");
  EXPECT_EQ(written.front().kept, std::to_string(10'000'000 / 4096 * 4096));
  EXPECT_EQ(must(Controller{group}.state()).max, Limit{9'998'336});
}

TEST_F(RealMemory, NoLimitReadsAsNone) {
  const Group group = made("limit");
  EXPECT_EQ(must(Controller{group}.state()).max, Limit{});
  ASSERT_TRUE(ok(Controller{group}.set(max(16 * MiB))));
  Change none;
  none.max = Limit{};
  const auto written = must(Controller{group}.set(none));
  EXPECT_EQ(written.front().kept, v2() ? "max" : "9223372036854771712");
  EXPECT_EQ(must(Controller{group}.state()).max, Limit{});
}

TEST_F(RealMemory, OnV1ALimitBelowTheLockedUsageIsRefusedAndNamesTheUsage) {
  if (needs_v1()) return;
  const Group group = made("used");
  const test::Tenant tenant(directory("used"), [] { return use(8 * MiB); });
  ASSERT_TRUE(ok(Controller{group}.set(max(64 * MiB))));
  const std::string error = error_of(group, max(4 * MiB));
  EXPECT_THAT(error, HasSubstr("memory.limit_in_bytes: the memory in use, "));
  EXPECT_THAT(error, HasSubstr(" bytes, cannot be reclaimed to below that"));
  const auto from = error.find("in use, ") + 8;
  EXPECT_GE(std::stoull(error.substr(from)), 8 * MiB);
  EXPECT_EQ(must(Controller{group}.state()).max, Limit{64 * MiB});
}

TEST_F(RealMemory, OnV1TheLimitWithSwapIsChangedInTheRightOrder) {
  if (needs_v1()) return;
  const Group group = made("swap");
  if (!must(Controller{group}.state()).memsw_max) {
    test::skip("no swap accounting");
    return;
  }
  const auto both = [&](std::uint64_t memory, std::uint64_t together) {
    Change change = max(memory);
    change.memsw_max = Limit{together};
    return Controller{group}.set(change);
  };
  ASSERT_TRUE(ok(both(64 * MiB, 96 * MiB))) << "from no limit: the memory limit comes first";
  EXPECT_FALSE(group.write("memory.limit_in_bytes", std::to_string(128 * MiB)))
      << "the kernel refuses this";
  ASSERT_TRUE(ok(both(128 * MiB, 128 * MiB)));
  ASSERT_TRUE(ok(both(32 * MiB, 48 * MiB)));
  EXPECT_THAT(error_of(group, max(64 * MiB)), HasSubstr("is above that of memory and swap"));
  Change none = max(0);
  none.max = Limit{};
  EXPECT_THAT(error_of(group, none), HasSubstr("a memory limit of none is above"));
  none.memsw_max = Limit{};
  ASSERT_TRUE(ok(Controller{group}.set(none)));
  const State state = must(Controller{group}.state());
  EXPECT_EQ(state.max, Limit{});
  EXPECT_EQ(state.memsw_max, Limit{});
}

TEST_F(RealMemory, OnV1EverySettingHasItsRange) {
  if (needs_v1()) return;
  const Group group = made("settings");
  Change change;
  change.soft_limit = Limit{32 * MiB};
  change.swappiness = 0;
  change.oom_kill = false;
  ASSERT_TRUE(ok(Controller{group}.set(change)));
  State state = must(Controller{group}.state());
  EXPECT_EQ(state.soft_limit, Limit{32 * MiB});
  EXPECT_EQ(state.swappiness, 0U);
  EXPECT_EQ(state.oom_kill, false);
  EXPECT_EQ(state.under_oom, false);
  Change swappiness;
  swappiness.swappiness = 100;
  EXPECT_TRUE(ok(Controller{group}.set(swappiness)));
  swappiness.swappiness = 201;
  EXPECT_THAT(error_of(group, swappiness), HasSubstr("the swappiness is out of range"));
  EXPECT_EQ(must(Controller{group}.state()).swappiness, 100U);
}

TEST_F(RealMemory, OnV1ABadFifthValueRestoresTheFourBeforeIt) {
  if (needs_v1()) return;
  const Group group = made("transaction");
  Change first = max(64 * MiB);
  first.soft_limit = Limit{48 * MiB};
  first.swappiness = 30;
  ASSERT_TRUE(ok(Controller{group}.set(first)));
  const auto text = [&group] {
    return group.read("memory.limit_in_bytes").value() +
           group.read("memory.soft_limit_in_bytes").value() +
           group.read("memory.swappiness").value() + group.read("memory.oom_control").value();
  };
  const std::string before = text();
  Change change = max(32 * MiB);
  change.soft_limit = Limit{16 * MiB};
  change.swappiness = 40;
  change.oom_kill = false;
  auto settings = must(Controller{group}.plan(change));
  ASSERT_EQ(settings.size(), 4U);
  settings.push_back({"memory.swappiness", "1000"});
  const auto written = settings::apply(group, settings);
  ASSERT_FALSE(written);
  EXPECT_THAT(written.error().message(), HasSubstr("the other values are as before"));
  EXPECT_EQ(text(), before);
}

TEST_F(RealMemory, OnV2EveryLimitHasItsFile) {
  if (!v2()) {
    GTEST_SKIP() << "needs the v2 memory controller";
  }
  const Group group = made("limits");
  Change change = max(64 * MiB);
  change.high = Limit{48 * MiB};
  change.low = Limit{16 * MiB};
  change.min = Limit{8 * MiB};
  change.memsw_max = Limit{96 * MiB};
  change.swap_high = Limit{16 * MiB};
  change.oom_group = true;
  ASSERT_TRUE(ok(Controller{group}.set(change)));
  State state = must(Controller{group}.state());
  EXPECT_EQ(state.max, Limit{64 * MiB});
  EXPECT_EQ(state.high, Limit{48 * MiB});
  EXPECT_EQ(state.low, Limit{16 * MiB});
  EXPECT_EQ(state.min, Limit{8 * MiB});
  EXPECT_EQ(state.swap_max, Limit{32 * MiB}) << "without the memory limit";
  EXPECT_EQ(state.swap_high, Limit{16 * MiB});
  EXPECT_EQ(state.oom_group, true);
  Change none;
  none.max = none.high = none.low = none.min = none.swap_max = none.swap_high = Limit{};
  none.oom_group = false;
  ASSERT_TRUE(ok(Controller{group}.set(none)));
  state = must(Controller{group}.state());
  EXPECT_EQ(state.max, Limit{});
  EXPECT_EQ(state.min, Limit{});
  EXPECT_EQ(state.swap_max, Limit{});
}

TEST_F(RealMemory, TheRootCannotBeLimited) {
  const Group root = must(host().open("/"));
  EXPECT_THAT(error_of(root, max(std::uint64_t{1} << 50)), HasSubstr("the root cannot be limited"));
}

// ---- figures ----

TEST_F(RealMemory, TheFiguresAreThoseOfTheProcessesInIt) {
  const Group group = made("figures");
  const test::Tenant tenant(directory("figures"), [] { return use(8 * MiB); });
  const State state = must(Controller{group}.state());
  EXPECT_GE(state.usage.value(), 8 * MiB);
  if (state.peak) {
    EXPECT_GE(*state.peak, 8 * MiB);
  }
  // The kernel counts in batches and adds them up every two seconds.
  EXPECT_TRUE(test::eventually([&group] {
    const Stat stat = must(memory::stat(group));
    return stat[stat[Key::rss] ? Key::rss : Key::anon].value() >= 6 * MiB;
  }));
}

TEST_F(RealMemory, AKeptReaderNoticesThatItsCgroupWasRemoved) {
  const Group group = made("gone");
  const StatReader reader = must(StatReader::open(group));
  if (lacks(Peak::open(group))) return test::skip("no memory.peak before Linux 5.19");
  const Peak peak = must(Peak::open(group));
  Stat stat;
  ASSERT_TRUE(ok(reader.read(stat)));
  ASSERT_TRUE(ok(peak.read()));
  ASSERT_TRUE(ok(group.remove()));
  EXPECT_TRUE(fails(reader.read(stat), errc::vanished));
  EXPECT_TRUE(fails(peak.read(), errc::vanished));
}

TEST_F(RealMemory, ThePeakCanBeReset) {
  const Group group = made("peak");
  if (lacks(Peak::open(group))) return test::skip("no memory.peak before Linux 5.19");
  const Peak peak = must(Peak::open(group));
  {
    const test::Tenant tenant(directory("peak"), [] { return use(16 * MiB); });
  }
  EXPECT_GE(must(peak.read()), 16 * MiB);
  if (const auto reset = peak.reset(); !reset) {
    EXPECT_TRUE(fails(reset, errc::unsupported)) << "v2 before Linux 6.12";
    return;
  }
  EXPECT_LT(must(peak.read()), 16 * MiB);
}

TEST_F(RealMemory, OnV1HittingTheLimitIsCountedUntilTheCountIsReset) {
  if (needs_v1()) return;
  const Group group = made("failcnt");
  ASSERT_TRUE(ok(Controller{group}.set(max(4 * MiB))));
  const auto files = folder(lab::Pin::page_cache);
  ASSERT_TRUE(files);
  const std::string file = *files / "file";
  const test::Tenant tenant(directory("failcnt"), [&file] { return fill(file); });
  EXPECT_GT(must(memory::events(group)).max.value(), 0U);
  ASSERT_TRUE(ok(Controller{group}.reset_failcnt()));
  EXPECT_LT(must(memory::events(group)).max.value(), 10U);
}

TEST_F(RealMemory, MemoryIsReclaimedOnRequest) {
  const Group group = made("back");
  const auto files = folder(lab::Pin::page_cache);
  ASSERT_TRUE(files);
  const std::string file = *files / "file";
  {
    const test::Tenant tenant(directory("back"), [&file] { return fill(file); });
  }
  const Controller controller{group};
  const auto given = v2() ? controller.reclaim(64 * MiB) : controller.force_empty();
  if (lacks(given)) return test::skip("no memory.reclaim before Linux 5.19");
  ASSERT_TRUE(ok(given));
  EXPECT_GE(given->before, 8 * MiB);
  EXPECT_LT(given->after, 2 * MiB);
  EXPECT_TRUE(fails(v2() ? controller.force_empty() : controller.reclaim(MiB), errc::unsupported));
}

// ---- waiting ----

bool readable(const Watch& watch, std::chrono::milliseconds time) {
  pollfd poll{watch.descriptor(), POLLIN, 0};
  return ::poll(&poll, 1, static_cast<int>(time.count())) == 1;
}

TEST_F(RealMemory, OnV1PassingAThresholdWakesTheLoop) {
  if (needs_v1()) return;
  const Group group = made("threshold");
  const Watch watch = must(Watch::threshold(group, 8 * MiB));
  EXPECT_FALSE(readable(watch, 0ms));
  EXPECT_EQ(must(watch.take()), 0U) << "does not block";
  {
    const test::Tenant tenant(directory("threshold"), [] { return use(16 * MiB); });
    EXPECT_TRUE(readable(watch, 5s)) << "upwards";
    EXPECT_GE(must(watch.take()), 1U);
    EXPECT_FALSE(readable(watch, 0ms)) << "taken";
  }
  EXPECT_TRUE(readable(watch, 5s)) << "downwards";
}

TEST_F(RealMemory, AnOomKillWakesTheLoopAndIsCounted) {
  const Group group = made("oom");
  const Watch watch = must(Watch::oom(group));
  const Events before = must(memory::events(group));
  ASSERT_TRUE(ok(Controller{group}.set(at_most(group, 8 * MiB))));
  EXPECT_TRUE(is_killed(directory("oom")));
  EXPECT_TRUE(readable(watch, 5s));
  EXPECT_GE(must(watch.take()), 1U);
  EXPECT_EQ(must(memory::events(group)).oom_kill.value(), before.oom_kill.value() + 1);
}

TEST_F(RealMemory, LocalEventsAreThoseOfTheCgroupItself) {
  const Group inner = made("outer/inner");
  const Group outer = must(host().open(path("outer")));
  ASSERT_TRUE(ok(Controller{inner}.set(at_most(inner, 8 * MiB))));
  ASSERT_TRUE(is_killed(directory("outer/inner")));
  const Events of_inner = must(memory::local_events(inner));
  EXPECT_EQ(of_inner.oom_kill, 1U);
  if (v2()) {
    EXPECT_GT(of_inner.max.value(), 0U);
  }
  const Events of_outer = must(memory::local_events(outer));
  EXPECT_EQ(of_outer.oom_kill, 0U);
  EXPECT_EQ(of_outer.max, 0U);
  const Events with_all_below = must(memory::events(outer));
  EXPECT_EQ(with_all_below.oom_kill, v2() ? 1U : 0U);
  EXPECT_EQ(with_all_below.max, v2() ? of_inner.max : 0U);
}

TEST_F(RealMemory, OnV1WithoutOomKillsATaskWaitsAtTheLimit) {
  if (needs_v1()) return;
  const Group group = made("wait");
  const Watch watch = must(Watch::oom(group));
  Change change = max(8 * MiB);
  if (must(Controller{group}.state()).memsw_max) change.memsw_max = Limit{8 * MiB};
  change.oom_kill = false;
  ASSERT_TRUE(ok(Controller{group}.set(change)));
  const pid_t child = ::fork();
  if (child == 0) {
    ::_exit(test::enter(directory("wait")) == 0 ? use(64 * MiB) : 1);
  }
  EXPECT_TRUE(readable(watch, 5s));
  EXPECT_TRUE(
      test::eventually([&group] { return must(Controller{group}.state()).under_oom == true; }));
  int status = 0;
  EXPECT_EQ(::waitpid(child, &status, WNOHANG), 0) << "the task waits";
  ::kill(child, SIGKILL);
  ASSERT_EQ(::waitpid(child, &status, 0), child);
}

TEST_F(RealMemory, OnV1TheEndOfTheCgroupWakesTheLoop) {
  if (needs_v1()) return;
  const Group group = made("ends");
  const Watch oom = must(Watch::oom(group));
  const Watch pressure = must(Watch::pressure(group, Level::critical));
  ASSERT_TRUE(ok(group.remove()));
  EXPECT_TRUE(readable(oom, 5s));
  EXPECT_TRUE(fails(oom.take(), errc::vanished));
  EXPECT_TRUE(readable(pressure, 5s));
  EXPECT_TRUE(fails(pressure.take(), errc::vanished));
}

TEST_F(RealMemory, OnV2ThereAreNeitherThresholdsNorLevels) {
  if (!v2()) {
    GTEST_SKIP() << "needs the v2 memory controller";
  }
  const Group group = made("v1-only");
  EXPECT_TRUE(fails(Watch::threshold(group, MiB), errc::unsupported));
  EXPECT_TRUE(fails(Watch::pressure(group, Level::low), errc::unsupported));
}

}  // namespace memory_test
