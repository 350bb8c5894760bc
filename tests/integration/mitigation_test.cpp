// SPDX-FileCopyrightText: The cgctl authors
// SPDX-License-Identifier: MIT
#include "cgctl/mitigation.hpp"

#include <fcntl.h>
#include <gtest/gtest.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <atomic>
#include <cerrno>
#include <chrono>
#include <filesystem>
#include <fstream>
#include <string>
#include <thread>

#include "../support/captured.hpp"
#include "../support/child.hpp"
#include "../support/skip.hpp"
#include "cgctl/parse.hpp"
#include "real_cgroups.hpp"

namespace mitigation_test {

using namespace cgctl;
using namespace std::chrono_literals;
using namespace cgctl::mitigation;

class RealMitigation : public test::RealCgroups {
 protected:
  /// Returns a policy that acts on any zombie and overrides all guards.
  static Policy act_until(std::uint64_t left) {
    Policy policy;
    policy.zombies_high = 1;
    policy.zombies_low = left;
    // evict, squeeze and node_reclaim have tests of their own.
    policy.ladder = {Rung::reclaim, Rung::drop_page_cache, Rung::drop_slab};
    policy.guards = Guards::override_all;
    policy.still_for = 1s;
    return policy;
  }
  [[nodiscard]] Result<Observation> look(const Policy& policy) {
    return observe(host(), guard_, policy, {}, Intent::act);
  }
  [[nodiscard]] Result<Outcome> act(const Observation& before, const Policy& policy) {
    const Plan plan = decide(before, {}, policy, 0s);
    EXPECT_TRUE(plan.decision == Decision::act || before.zombies.low == 0) << plan.reason;
    return carry_out(host(), guard_, plan, policy, before);
  }
  /// Frees the zombies of others that can be freed. Returns the number left.
  std::uint64_t clear_the_host() {
    const Policy policy = act_until(0);
    std::uint64_t left = settled();
    unsigned useless = 0;
    for (int action = 0; action < 8 && left != 0 && useless < 2; ++action) {
      // Writes back now, so that the test's own action does not free these files' zombies later.
      ::sync();
      const auto before = look(policy);
      EXPECT_TRUE(before) << before.error().message();
      if (!before || before->zombies.low == 0 || before->pages_reparented.value_or(false)) break;
      const auto outcome = act(*before, policy);
      EXPECT_TRUE(outcome) << outcome.error().message();
      const std::uint64_t now = settled();
      useless = now < left ? 0 : useless + 1;
      left = now;
    }
    return settled();
  }
  /// Waits until `limit` zombies are left; on v2 also drops slab up to three times. There the inode
  /// of a file that was written to keeps its cgroup alive, before Linux 5.14 until it is evicted,
  /// since then until cleanup_offline_cgwbs_workfn() (mm/backing-dev.c) runs. An action whose page
  /// cache rung freed half of the zombies does not drop slab, and each drop skips the inodes and
  /// dentries that were used since the previous drop, for instance by `advise` (inode_lru_isolate()
  /// in fs/inode.c, dentry_lru_isolate() in fs/dcache.c).
  std::uint64_t falls_with_slab(std::uint64_t limit, Policy policy) {
    policy.only = Rung::drop_slab;
    std::uint64_t left = falls_to(limit);
    for (int action = 0; action < 3 && v2() && left > limit; ++action) {
      const auto still = look(policy);
      EXPECT_TRUE(still) << still.error().message();
      if (!still) break;
      EXPECT_TRUE(act(*still, policy));
      left = falls_to(limit);
    }
    return left;
  }

  numa::CostGuard guard_;
};

TEST_F(RealMitigation, ObservesTheMachineAndChangesNothing) {
  const std::uint64_t drops = test::cache_drops();
  const auto seen = look({});
  ASSERT_TRUE(seen) << seen.error().message();
  EXPECT_EQ(seen->page_size, host().page_size());
  EXPECT_GT(seen->page_cache, 0);
  EXPECT_GE(seen->zombies.live, 2);
  EXPECT_EQ(seen->io_pressure.has_value(), std::filesystem::exists("/proc/pressure/io"));
  EXPECT_EQ(seen->memory_pressure.has_value(), std::filesystem::exists("/proc/pressure/memory"));
  if (v2() && seen->source == zombies::Source::memory_stat) {
    EXPECT_FALSE(seen->residual);
  }
  if (!v2()) {
    EXPECT_FALSE(seen->can_reclaim);
  }
  EXPECT_EQ(test::cache_drops(), drops);
}

TEST_F(RealMitigation, FindsOutWhetherPagesKeepRemovedCgroups) {
  constexpr std::uint64_t number = 50;
  const auto files = folder(lab::Pin::tmpfs);
  if (!files) return test::skip("no folder on tmpfs");
  auto maker = zombies(lab::Pin::tmpfs, *files);
  ASSERT_TRUE(maker) << maker.error().message();
  const std::uint64_t others = settled();
  ASSERT_TRUE(maker->make(number));
  const bool kept = settled() >= others + number / 2;
  Policy policy;
  policy.zombies_high = 0;
  const auto seen = look(policy);
  ASSERT_TRUE(seen) << seen.error().message();
  if (v2()) {
    EXPECT_EQ(seen->pages_reparented, !kept);
  } else {
    EXPECT_FALSE(seen->pages_reparented) << "v1 does not count removed cgroups apart";
  }
  const Policy untroubled;
  EXPECT_FALSE(look(untroubled)->pages_reparented) << "tested only when needed";
  const auto rehearsed = observe(host(), guard_, policy, {}, Intent::look);
  ASSERT_TRUE(rehearsed) << rehearsed.error().message();
  EXPECT_FALSE(rehearsed->pages_reparented) << "nothing may be changed, so it is not tested";
}

TEST_F(RealMitigation, DropsCachesAndLeavesAtMostFiveOfAHundredPageCacheZombies) {
  constexpr std::uint64_t number = 500;
  const auto files = folder(lab::Pin::page_cache);
  if (!files) return test::skip("no folder on a disk");
  auto maker = zombies(lab::Pin::page_cache, *files);
  ASSERT_TRUE(maker) << maker.error().message();
  const std::uint64_t others = clear_the_host();
  read_inode_tables(*files, number);
  const auto made = maker->make(number);
  ASSERT_TRUE(made) << made.error().message();
  (void)settled();

  const Policy policy = act_until(others + number / 50);
  const auto before = look(policy);
  ASSERT_TRUE(before) << before.error().message();
  if (before->pages_reparented.value_or(false)) {
    EXPECT_EQ(decide(*before, {}, policy, 0s).decision, Decision::idle);
    return;
  }
  ASSERT_GE(before->zombies.low + 20, others + number);
  const std::uint64_t drops = test::cache_drops();
  const auto outcome = act(*before, policy);
  ASSERT_TRUE(outcome) << outcome.error().message();

  EXPECT_EQ(outcome->effect, Effect::effective);
  EXPECT_EQ(outcome->explanation, "");
  EXPECT_LE(falls_with_slab(others + number / 20, policy), others + number / 20);
  ASSERT_FALSE(outcome->actions.empty());
  EXPECT_GE(outcome->actions.front().zombies_before + 20, others + number);
  for (std::size_t i = 0; i < outcome->actions.size(); ++i) {
    const Action& action = outcome->actions[i];
    EXPECT_EQ(action.end, End::done) << action.status.error().message();
    EXPECT_GT(action.duration.count(), 0);
    if (i > 0) {
      EXPECT_EQ(action.zombies_before, outcome->actions[i - 1].zombies_after);
    }
  }
  if (outcome->actions.back().rung != Rung::reclaim) {
    EXPECT_GT(test::cache_drops(), drops);
  }
}

/// Makes `rate` zombies a second, for its lifetime.
class Churning {
 public:
  Churning(lab::ZombieMaker& maker, unsigned rate)
      : thread_([this, &maker, rate] {
          const auto start = std::chrono::steady_clock::now();
          while (!ended_) {
            const std::chrono::duration<double> passed = std::chrono::steady_clock::now() - start;
            const auto due = static_cast<std::uint64_t>(passed.count() * rate);
            if (due > made_ && maker.make(due - made_)) made_ = due;
            std::this_thread::sleep_for(20ms);
          }
        }) {}
  Churning(const Churning&) = delete;
  Churning& operator=(const Churning&) = delete;
  ~Churning() {
    ended_ = true;
    thread_.join();
  }
  [[nodiscard]] std::uint64_t made() const { return made_; }

 private:
  std::atomic<bool> ended_{false};
  std::atomic<std::uint64_t> made_{0};
  std::thread thread_;
};

class RealChurn : public RealMitigation, public ::testing::WithParamInterface<unsigned> {};

TEST_P(RealChurn, DropsCachesOnceAndSeesThatItHelped) {
  constexpr std::uint64_t number = 500;
  const auto files = folder(lab::Pin::page_cache);
  if (!files) return test::skip("no folder on a disk");
  auto maker = zombies(lab::Pin::page_cache, *files);
  ASSERT_TRUE(maker) << maker.error().message();
  auto more = zombies(lab::Pin::page_cache, *files, "more");
  ASSERT_TRUE(more) << more.error().message();
  const std::uint64_t others = clear_the_host();
  read_inode_tables(*files, number);
  ASSERT_TRUE(maker->make(number));

  Policy policy = act_until(others + number / 2);
  policy.ladder = {Rung::drop_page_cache, Rung::drop_slab};
  const Churning churn(*more, GetParam());
  ASSERT_TRUE(test::eventually([&] { return churn.made() != 0; }));
  const auto before = look(policy);
  ASSERT_TRUE(before) << before.error().message();
  if (before->pages_reparented.value_or(false)) return;
  const auto start = std::chrono::steady_clock::now();
  const auto outcome = act(*before, policy);
  const auto took = std::chrono::steady_clock::now() - start;
  ASSERT_TRUE(outcome) << outcome.error().message();
  ASSERT_FALSE(outcome->actions.empty());
  const Action& action = outcome->actions[0];
  EXPECT_EQ(outcome->effect, Effect::effective)
      << action.zombies_before << " -> " << action.zombies_after << ", new " << action.made;
  // On v2 before Linux 5.14 inodes hold most of them.
  if (!v2() || test::kernel_is_at_least(5, 14)) {
    EXPECT_GE(action.freed() + number / 4, number);
    EXPECT_EQ(outcome->actions.size(), 1U) << "slab was dropped without need";
  }
  EXPECT_LT(took - action.duration, policy.settle_limit + 5s);
}

INSTANTIATE_TEST_SUITE_P(RemovalsASecond, RealChurn, ::testing::Values(1U, 10U, 50U, 200U));

TEST_F(RealMitigation, DropsTheCacheOfTheNamedFiles) {
  constexpr std::uint64_t number = 200;
  const auto files = folder(lab::Pin::page_cache);
  if (!files) return test::skip("no folder on a disk");
  auto maker = zombies(lab::Pin::page_cache, *files);
  ASSERT_TRUE(maker) << maker.error().message();
  const std::uint64_t others = clear_the_host();
  read_inode_tables(*files, number);
  ASSERT_TRUE(maker->make(number));
  (void)settled();

  Policy policy = act_until(others + number / 10);
  policy.ladder = {Rung::advise, Rung::drop_page_cache, Rung::drop_slab};
  policy.files = {files->path() / "no-such-*", files->path() / "*/zombies/*"};
  const auto before = look(policy);
  ASSERT_TRUE(before) << before.error().message();
  if (before->pages_reparented.value_or(false)) return;
  const auto outcome = act(*before, policy);
  ASSERT_TRUE(outcome) << outcome.error().message();
  ASSERT_FALSE(outcome->actions.empty());
  EXPECT_EQ(outcome->actions[0].rung, Rung::advise);
  EXPECT_EQ(outcome->actions[0].end, End::done);
  if (!v2()) {
    EXPECT_EQ(outcome->actions.size(), 1U);
  }
  EXPECT_LE(falls_with_slab(others + number / 10, policy), others + number / 10);
}

TEST_F(RealMitigation, WritesBackTheMountsNamedBeforeItDropsTheirCache) {
  constexpr std::uint64_t number = 100;
  const auto files = folder(lab::Pin::page_cache);
  if (!files) return test::skip("no folder on a disk");
  Policy policy = act_until(0);
  policy.ladder = {Rung::drop_page_cache};
  policy.sync = {"/no/such/mount"};
  const auto seen = look(policy);
  ASSERT_TRUE(seen) << seen.error().message();
  const std::uint64_t drops = test::cache_drops();
  const auto refused = carry_out(host(), guard_, {Decision::act, "", policy.ladder}, policy, *seen);
  ASSERT_TRUE(refused) << refused.error().message();
  ASSERT_FALSE(refused->status);
  EXPECT_EQ(refused->status.error().path, "/no/such/mount");
  ASSERT_EQ(refused->actions.size(), 1U);
  EXPECT_EQ(refused->actions[0].end, End::failed);
  EXPECT_EQ(test::cache_drops(), drops);

  policy.sync = {files->path()};
  std::ofstream(files->path() / "dirty") << std::string(number * 4096, 'x');
  const auto done = carry_out(host(), guard_, {Decision::act, "", policy.ladder}, policy, *seen);
  ASSERT_TRUE(done) << done.error().message();
  EXPECT_EQ(done->actions.at(0).end, End::done);
  EXPECT_GT(test::cache_drops(), drops);
}

TEST_F(RealMitigation, StopsOnRequest) {
  Policy policy = act_until(0);
  policy.settle_limit = 60s;
  policy.still_for = 60s;
  policy.ladder = {Rung::drop_page_cache, Rung::drop_slab};
  const auto seen = look(policy);
  ASSERT_TRUE(seen) << seen.error().message();
  std::array<int, 2> stop{};
  ASSERT_EQ(::pipe2(stop.data(), O_CLOEXEC), 0);
  const UniqueFd reading(stop[0]);
  const UniqueFd writing(stop[1]);
  ASSERT_EQ(::write(writing.get(), "", 1), 1);
  const auto start = std::chrono::steady_clock::now();
  const auto outcome =
      carry_out(host(), guard_, {Decision::act, "", policy.ladder}, policy, *seen, reading.get());
  EXPECT_LT(std::chrono::steady_clock::now() - start, 30s) << "it does not wait for the count";
  ASSERT_TRUE(outcome) << outcome.error().message();
  EXPECT_EQ(outcome->effect, Effect::none);
  ASSERT_EQ(outcome->actions.size(), 1U);
  EXPECT_EQ(outcome->actions[0].end, End::cancelled);
}

struct Stays {
  lab::Pin pin;
  const char* says;
};

class RealPins : public RealMitigation, public ::testing::WithParamInterface<Stays> {};

TEST_P(RealPins, DropsCachesWithoutEffectAndNamesWhatPinsTheZombies) {
  constexpr std::uint64_t number = 500;
  const auto files = folder(GetParam().pin);
  if (!files) return test::skip("no folder on such a file system");
  auto maker = zombies(GetParam().pin, *files);
  ASSERT_TRUE(maker) << maker.error().message();
  const std::uint64_t others = clear_the_host();
  read_inode_tables(*files, number);
  const auto made = maker->make(number);
  ASSERT_TRUE(made) << made.error().message();
  (void)settled();

  const Policy policy = act_until(others);
  const auto before = look(policy);
  ASSERT_TRUE(before) << before.error().message();
  if (before->pages_reparented.value_or(before->zombies.low == 0)) {
    EXPECT_EQ(decide(*before, {}, policy, 0s).decision, Decision::idle);
    return;
  }
  const auto outcome = act(*before, policy);
  ASSERT_TRUE(outcome) << outcome.error().message();
  // Reclaim can free mapped file pages, if it finds them unused the second time.
  if (GetParam().pin != lab::Pin::mapped_file || !before->can_reclaim) {
    EXPECT_EQ(outcome->effect, Effect::ineffective);
    EXPECT_GE(outcome->after.zombies.low + number / 10, number);
  }
  if (!v2()) {
    ASSERT_TRUE(outcome->after.residual);
    EXPECT_NE(outcome->explanation.find(GetParam().says), std::string::npos)
        << outcome->explanation;
  }

  // Checks that the named cause was the real one: without it the zombies go.
  const auto cured = maker->cure();
  ASSERT_TRUE(cured) << cured.error().message();
  (void)clear_the_host();
  EXPECT_LE(falls_to(others + number / 20), others + number / 20);
}

INSTANTIATE_TEST_SUITE_P(ForEachPin, RealPins,
                         ::testing::Values(Stays{lab::Pin::tmpfs, "files on tmpfs"},
                                           Stays{lab::Pin::mapped_file,
                                                 "mapped by running processes"},
                                           Stays{lab::Pin::mlock, "locked in memory (mlock)"}),
                         [](const auto& parameters) {
                           std::string name(lab::to_string(parameters.param.pin));
                           name.erase(std::remove(name.begin(), name.end(), '-'), name.end());
                           return name;
                         });

TEST_F(RealMitigation, DropsCachesOnlyAtTheGivenLevel) {
  const auto pagecache = [] {
    return parse::value_of(test::file_text("/proc/vmstat"), "drop_pagecache").value_or(0);
  };
  const auto slab = [] {
    return parse::value_of(test::file_text("/proc/vmstat"), "drop_slab").value_or(0);
  };
  // Other programs may drop caches at the same moment.
  EXPECT_EQ(test::persist(5,
                          [&]() -> std::string {
                            const auto pagecache_before = pagecache();
                            const auto slab_before = slab();
                            const auto took = drop_caches(host(), Rung::drop_page_cache, 60s);
                            if (!took) return took.error().message();
                            if (pagecache() != pagecache_before + 1)
                              return "the page cache was not dropped once";
                            return slab() == slab_before ? "" : "slab was dropped too";
                          }),
            "");
}

TEST_F(RealMitigation, GivesTheReasonWhenEveryRungFailed) {
  const auto files = folder(lab::Pin::tmpfs);
  if (!files) return test::skip("no folder on tmpfs");
  auto maker = zombies(lab::Pin::tmpfs, *files);
  ASSERT_TRUE(maker) << maker.error().message();
  ASSERT_TRUE(maker->make(50));
  const std::uint64_t drops = test::cache_drops();
  EXPECT_EQ(test::in_child([&]() -> std::string {
              if (::setresuid(65534, 65534, 65534) != 0) return "setresuid failed";
              const Policy policy = act_until(0);
              const auto before = look(policy);
              if (!before) return before.error().message();
              const Plan plan = decide(*before, {}, policy, 0s);
              if (plan.decision != Decision::act && before->zombies.low == 0) return {};
              const auto outcome = carry_out(host(), guard_, plan, policy, *before);
              if (!outcome) return outcome.error().message();
              if (outcome->effect != Effect::ineffective) return "it reports an effect";
              if (outcome->status) return "it reports no reason";
              if (outcome->status.error().os_errno != EACCES)
                return outcome->status.error().message();
              return {};
            }),
            "");
  EXPECT_EQ(test::cache_drops(), drops);
}

TEST(RealDropCaches, WithoutPrivilegeIsRefusedAndSaysWhoMay) {
  if (!test::is_root()) return test::skip("giving privileges up needs root");
  const auto host = Host::detect();
  if (!host) return test::skip(host.error().message());
  EXPECT_EQ(test::in_child([&]() -> std::string {
              if (::setresuid(65534, 65534, 65534) != 0) return "setresuid failed";
              const auto took = drop_caches(*host, Rung::drop_page_cache, 60s);
              if (took) return "caches were dropped";
              if (took.error().os_errno != EACCES) return took.error().message();
              const bool hinted =
                  took.error().hint.find("only root may write it") != std::string::npos;
              return hinted ? "" : took.error().message();
            }),
            "");
}

TEST(RealDropCaches, OnAFileThatIsNotOfProcfsIsRefusedAndWritesNothing) {
  const test::CapturedMachine machine("linux-5.4-v1-numa2/2-zombies");
  const auto control = machine.path("proc/sys/vm/drop_caches");
  test::put_file(control, "untouched");
  const auto host = machine.host();
  ASSERT_TRUE(host) << host.error().message();
  EXPECT_FALSE(host->live());
  for (const Rung rung : {Rung::drop_page_cache, Rung::drop_slab, Rung::drop_all}) {
    const auto took = drop_caches(*host, rung, 60s);
    ASSERT_FALSE(took);
    EXPECT_EQ(took.error().kind, errc::outside);
    EXPECT_NE(took.error().hint.find("nothing was written"), std::string::npos);
  }
  EXPECT_EQ(test::file_text(control), "untouched");
}

}  // namespace mitigation_test
