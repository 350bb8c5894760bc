// SPDX-FileCopyrightText: The cgctl authors
// SPDX-License-Identifier: MIT
#include <fcntl.h>
#include <gtest/gtest.h>
#include <sched.h>
#include <sys/mman.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <chrono>
#include <cstdio>
#include <cstdlib>
#include <fstream>
#include <functional>
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "../../examples/living_cache.hpp"
#include "../support/captured.hpp"
#include "../support/child.hpp"
#include "../support/result.hpp"
#include "../support/skip.hpp"
#include "../support/traced.hpp"
#include "cgctl/mitigation.hpp"
#include "cgctl/parse.hpp"
#include "real_cgroups.hpp"

namespace squeeze_test {

using namespace cgctl;
using namespace std::chrono_literals;
using namespace cgctl::mitigation;

constexpr std::uint64_t mebibyte = std::uint64_t{1} << 20;

/// Makes a file without blocks on the disk and reads it, so that it is in the page cache. Returns 0
/// or an errno. Reclaim takes whole folios, and readahead would make large ones.
int fill(const std::string& name, std::uint64_t bytes) {
  const UniqueFd file(::open(name.c_str(), O_CREAT | O_RDWR | O_CLOEXEC, 0600));
  if (!file || ::ftruncate(file.get(), static_cast<off_t>(bytes)) != 0) return errno;
  ::posix_fadvise(file.get(), 0, 0, POSIX_FADV_RANDOM);
  std::string block(std::size_t{64} << 10, 'x');
  for (;;) {
    const ssize_t got = ::read(file.get(), block.data(), block.size());
    if (got <= 0) return got == 0 ? 0 : errno;
  }
}

/// Zombies below the test's own cgroup, whose name a test may squeeze; never one of others.
class RealSqueeze : public test::RealCgroups {
 protected:
  static constexpr std::uint64_t number = 200;
  static constexpr std::uint64_t neighbours_cache = 384 * mebibyte;

  static Policy policy_of_tests() {
    Policy policy;
    policy.guards = Guards::override_all;
    policy.zombies_high = 1;
    policy.still_for = 500ms;
    policy.only = Rung::squeeze;
    // The machine has other work at the same time.
    policy.longest_delay = 1s;
    return policy;
  }

  /// Does not wait for effects.
  static Policy policy_without_effect() {
    Policy policy = policy_of_tests();
    policy.still_for = 1ms;
    policy.settle_limit = 2ms;
    return policy;
  }

  /// Observes the machine, of which only the test's own cgroup may be squeezed.
  Result<Observation> look(const Policy& policy) {
    auto seen = observe(host(), guard_, policy);
    if (!seen) return seen;
    auto& tops = seen->squeezable;
    tops.erase(std::remove_if(tops.begin(), tops.end(),
                              [this](const auto& top) { return top.path != path(); }),
               tops.end());
    return seen;
  }
  /// Makes zombies and observes the machine. Others may free the zombies before they are seen, by
  /// dropping caches or because the host takes idle page cache (DAMON): then makes new ones.
  Result<Observation> look_at_new(lab::ZombieMaker& maker, std::uint64_t count,
                                  const Policy& policy) {
    constexpr unsigned times = 5;
    Result<Observation> seen = fail(Error{});
    test::persist(times, [&] {
      const std::uint64_t others = settled();
      EXPECT_TRUE(maker.make(count));
      (void)settled();
      seen = look(policy);
      const bool there = seen && seen->zombies.low >= others + count / 10 * 9;
      return there ? std::string() : std::string("they are gone");
    });
    return seen;
  }
  Result<Outcome> squeeze(const Observation& seen, const Policy& policy) {
    return carry_out(host(), guard_, {Decision::act, "", {Rung::squeeze}}, policy, seen);
  }
  /// Returns the error of the only action.
  std::string refusal(const Observation& seen, const Policy& policy) {
    const auto outcome = squeeze(seen, policy);
    if (!outcome) return outcome.error().message();
    if (outcome->actions.size() != 1 || outcome->actions[0].end != End::failed) return "no failure";
    return outcome->actions[0].status.error().message();
  }
  [[nodiscard]] std::uint64_t cache_of(std::string_view below) const {
    return parse::value_of(test::file_text(directory(below) + "/memory.stat"), "cache").value_or(0);
  }
  [[nodiscard]] std::vector<std::string> limits() const {
    std::vector<std::string> texts;
    for (const char* const below : {"", "neighbour", "zombies"}) {
      for (const char* const name : {"limit_in_bytes", "soft_limit_in_bytes", "swappiness"}) {
        texts.push_back(test::file_text(directory(below) + "/memory." + name));
      }
    }
    return texts;
  }

  numa::CostGuard guard_;
};

TEST_F(RealSqueeze, FreesZombiesAndLeavesTheNeighboursCacheAlone) {
  if (v2()) return test::skip("memory.force_empty is v1's");
  const auto files = folder(lab::Pin::page_cache);
  if (!files) return test::skip("no folder on a disk");
  make("neighbour");
  const test::Tenant neighbour(directory("neighbour"),
                               [&] { return fill(files->path() / "neighbour", neighbours_cache); });
  auto maker = zombies(lab::Pin::page_cache, *files);
  ASSERT_TRUE(test::ok(maker));
  read_inode_tables(*files, number);
  const Policy policy = policy_of_tests();
  const auto seen = look_at_new(*maker, number, policy);
  ASSERT_TRUE(test::ok(seen));
  ASSERT_EQ(seen->squeezable.size(), 1U) << "the zombies' pages were not found";
  const auto limits_before = limits();
  const std::uint64_t cache = cache_of("neighbour");
  // The kernel adds the per-CPU parts of the figure up every two seconds.
  ASSERT_GE(cache, neighbours_cache / 10 * 9);

  const auto outcome = squeeze(*seen, policy);
  ASSERT_TRUE(test::ok(outcome));
  ASSERT_EQ(outcome->actions.size(), 1U);
  const Action& action = outcome->actions[0];
  ASSERT_TRUE(action.status) << action.status.error().message();
  EXPECT_GE(action.freed(), number / 10 * 9)
      << action.zombies_before << " -> " << action.zombies_after;
  EXPECT_GE(cache_of("neighbour") + cache / 100, cache) << "it lost more than one percent";
  EXPECT_EQ(limits(), limits_before);
}

TEST_F(RealSqueeze, LeavesNothingBehindWhenKilledAtAnySystemCall) {
  if (v2()) return test::skip("memory.force_empty is v1's");
  const auto files = folder(lab::Pin::page_cache);
  if (!files) return test::skip("no folder on a disk");
  make("neighbour");
  const test::Tenant neighbour(directory("neighbour"),
                               [&] { return fill(files->path() / "neighbour", neighbours_cache); });
  auto maker = zombies(lab::Pin::page_cache, *files);
  ASSERT_TRUE(test::ok(maker));
  const Policy policy = policy_without_effect();
  const auto seen = look_at_new(*maker, 100, policy);
  ASSERT_TRUE(test::ok(seen));
  ASSERT_EQ(seen->squeezable.size(), 1U);
  const auto limits_before = limits();
  const std::string state = files->path() / "state";
  const auto act = [&] {
    auto store = Store::open(host(), state);
    auto history = store ? store->load() : fail(store.error());
    if (!history) return;
    begin(*history, uptime());
    if (!store->save(*history)) return;
    const auto outcome = squeeze(*seen, policy);
    if (!outcome) return;
    end(*history, outcome->actions, outcome->effect, policy, uptime());
    (void)store->save(*history);
  };
  const unsigned kills = test::kill_in_turn([&](const test::Kill& kill) {
    test::Traced run = test::run_traced(act, kill);
    const std::string at = "killed at call " + std::to_string(run.killed_at);
    EXPECT_EQ(run.trouble, "") << at;
    EXPECT_EQ(limits(), limits_before) << at;
    const auto store = Store::open(host(), state);
    EXPECT_TRUE(test::ok(store)) << at;
    if (!store) return run;
    EXPECT_TRUE(test::ok(store->load())) << at;
    EXPECT_EQ(store->warning(), "") << at;
    return run;
  });
  std::printf("  killed %u times\n", kills);
  EXPECT_GT(kills, 1);
}

/// The neighbour of a cgroup to squeeze has page cache, and no zombie hangs below.
class RealSqueezeInVain : public RealSqueeze {
 protected:
  void TearDown() override {
    neighbour_.reset();
    RealSqueeze::TearDown();
  }
  /// Starts the neighbour, which ends its preparation by `work`. Returns false if it cannot run.
  bool start_neighbour(std::uint64_t bytes, const std::function<int(const std::string&)>& work) {
    if (v2()) test::skip("memory.force_empty is v1's");
    if (IsSkipped()) return false;
    files_ = folder(lab::Pin::page_cache);
    if (!files_) test::skip("no folder on a disk");
    if (IsSkipped()) return false;
    make("neighbour");
    const std::string file = files_->path() / "neighbour";
    neighbour_.emplace(directory("neighbour"), [&] {
      const int error = fill(file, bytes);
      return error == 0 ? work(file) : error;
    });
    return true;
  }
  /// Returns an observation that has the test's own cgroup to squeeze.
  Result<Observation> look_at_neighbour(const Policy& policy) {
    auto seen = observe(host(), guard_, policy);
    if (seen) seen->squeezable = {{path(), 100, std::uint64_t{100} * seen->page_size}};
    return seen;
  }

  std::unique_ptr<test::TempDirectory> files_;
  std::optional<test::Tenant> neighbour_;
};

/// True if this process may watch its writers closely; only then delays end rounds.
bool may_watch_closely() {
  return test::in_child([]() -> std::string {
           sched_param parameters{};
           parameters.sched_priority = 1;
           return ::sched_setscheduler(0, SCHED_FIFO, &parameters) == 0 ? "" : "refused";
         })
      .empty();
}

TEST_F(RealSqueezeInVain, EndsAfterTwoRoundsThatDelayOthers) {
  if (!may_watch_closely()) return test::skip("no real-time priority");
  if (!start_neighbour(neighbours_cache, [](const std::string&) { return 0; })) return;
  Policy policy = policy_without_effect();
  policy.longest_delay = 1ns;  // each round takes longer
  const auto seen = look_at_neighbour(policy);
  ASSERT_TRUE(test::ok(seen));
  const std::uint64_t cache = cache_of("neighbour");
  // A zombie of others that goes meanwhile counts as freed, and is no failure.
  constexpr unsigned times = 5;
  EXPECT_EQ(test::persist(times,
                          [&]() -> std::string {
                            const std::string said = refusal(*seen, policy);
                            const bool told = said.find("had to wait") != std::string::npos &&
                                              said.find("longest_delay") != std::string::npos;
                            return told ? "" : said;
                          }),
            "");
  EXPECT_GE(cache_of("neighbour") + cache / 20, cache) << "its writers are ended at once";
}

TEST_F(RealSqueezeInVain, EndsInTimeWhereTheWriterFreesNothing) {
  constexpr std::uint64_t locked = 8 * mebibyte;
  const auto lock = [](const std::string& name) {
    const UniqueFd file(::open(name.c_str(), O_RDONLY | O_CLOEXEC));
    void* const memory = ::mmap(nullptr, locked, PROT_READ, MAP_SHARED, file.get(), 0);
    return memory == MAP_FAILED || ::mlock(memory, locked) != 0 ? errno : 0;
  };
  if (!start_neighbour(locked, lock)) return;
  Policy policy = policy_without_effect();
  policy.least_cache = 0;
  policy.cache_loss = 100;
  policy.round_time = 1ms;
  const auto seen = look_at_neighbour(policy);
  ASSERT_TRUE(test::ok(seen));
  const auto outcome = squeeze(*seen, policy);
  ASSERT_TRUE(test::ok(outcome));
  const Action& action = outcome->actions.at(0);
  EXPECT_TRUE(action.status) << action.status.error().message();
  EXPECT_GE(cache_of("neighbour"), locked / 10 * 9);
  // Four steps of four writers each, ten times round_time for each writer; writing back included.
  EXPECT_LT(action.duration, policy.deadline / 2);
}

TEST_F(RealSqueeze, LeavesACgroupWithLittlePageCacheAlone) {
  if (v2()) return test::skip("memory.force_empty is v1's");
  const auto files = folder(lab::Pin::page_cache);
  if (!files) return test::skip("no folder on a disk");
  auto maker = zombies(lab::Pin::page_cache, *files);
  ASSERT_TRUE(test::ok(maker));
  const Policy policy = policy_without_effect();
  const auto seen = look_at_new(*maker, 100, policy);
  ASSERT_TRUE(test::ok(seen));
  ASSERT_EQ(seen->squeezable.size(), 1U);
  const std::string said = refusal(*seen, policy);
  EXPECT_NE(said.find("of clean page cache"), std::string::npos) << said;
  EXPECT_NE(said.find(path()), std::string::npos) << said;

  Observation gone = *seen;
  gone.squeezable[0].path = path("removed-before");
  EXPECT_NE(refusal(gone, policy).find("removed-before"), std::string::npos);
}

TEST_F(RealSqueeze, LosesNoWholeFilesWhereAllPageCacheIsInUse) {
  if (v2()) return test::skip("memory.force_empty is v1's");
  const auto files = folder(lab::Pin::active);
  if (!files) return test::skip("no folder on a disk");
  // Files that no process has open: the kernel may forget their inodes.
  constexpr unsigned several = 8;
  constexpr int reads = 3;
  make("neighbour");
  const test::Tenant neighbour(directory("neighbour"), [&] {
    for (unsigned i = 0; i < several * reads; ++i) {
      const std::string name = files->path() / ("neighbour-" + std::to_string(i % several));
      if (const int error = fill(name, neighbours_cache / several); error != 0) return error;
    }
    return 0;
  });
  auto maker = zombies(lab::Pin::active, *files);
  ASSERT_TRUE(test::ok(maker));
  read_inode_tables(*files, number);
  const Policy policy = policy_of_tests();
  const auto seen = look_at_new(*maker, number, policy);
  ASSERT_TRUE(test::ok(seen));
  ASSERT_EQ(seen->squeezable.size(), 1U);
  const std::uint64_t cache = cache_of("neighbour");
  ASSERT_GE(cache, neighbours_cache / 10 * 9);
  const auto outcome = squeeze(*seen, policy);
  ASSERT_TRUE(test::ok(outcome));
  EXPECT_GE(cache_of("neighbour") + cache / 100, cache) << "it lost more than one percent";
  const Action& action = outcome->actions.at(0);
  if (test::kernel_is_at_least(5, 5) && !test::kernel_is_at_least(5, 16)) {
    ASSERT_FALSE(action.status);
    EXPECT_NE(action.status.error().message().find("not used lately"), std::string::npos)
        << action.status.error().message();
  } else {
    EXPECT_TRUE(action.status) << action.status.error().message();
  }
}

TEST_F(RealSqueeze, IsOfNoUseWhereTmpfsPinsTheZombies) {
  if (v2()) return test::skip("memory.force_empty is v1's");
  const auto files = folder(lab::Pin::tmpfs);
  if (!files) return test::skip("no folder on tmpfs");
  auto maker = zombies(lab::Pin::tmpfs, *files);
  ASSERT_TRUE(test::ok(maker));
  ASSERT_TRUE(maker->make(50));
  (void)settled();
  const Policy policy = policy_without_effect();
  const auto seen = look(policy);
  ASSERT_TRUE(test::ok(seen));
  if (seen->source != zombies::Source::census) return test::skip("only a census tells tmpfs apart");
  EXPECT_TRUE(seen->squeezable.empty());
  const std::string said = refusal(*seen, policy);
  EXPECT_NE(said.find("out of reach"), std::string::npos) << said;
}

TEST_F(RealSqueeze, NodeReclaimFreesZombiesAndTakesNoMoreThanItMay) {
  const auto files = folder(lab::Pin::page_cache);
  if (!files) return test::skip("no folder on a disk");
  auto maker = zombies(lab::Pin::page_cache, *files);
  ASSERT_TRUE(test::ok(maker));
  constexpr std::uint64_t neighbours = 4;
  constexpr std::uint64_t cache_of_each = 64 * mebibyte;
  ASSERT_TRUE(maker->make_neighbours(neighbours, cache_of_each));
  read_inode_tables(*files, number);
  Policy policy = policy_of_tests();
  policy.only = Rung::node_reclaim;
  const auto seen = look_at_new(*maker, number, policy);
  ASSERT_TRUE(test::ok(seen));
  if (!seen->can_reclaim_nodes) return test::skip("no reclaim of NUMA nodes before Linux 6.17");
  const auto before = lab::living_cache(host(), *maker);
  ASSERT_TRUE(test::ok(before));
  ASSERT_GE(before->neighbours, neighbours * cache_of_each / 10 * 9);
  const auto outcome =
      carry_out(host(), guard_, {Decision::act, "", {Rung::node_reclaim}}, policy, *seen);
  ASSERT_TRUE(test::ok(outcome));
  const Action& action = outcome->actions.at(0);
  ASSERT_TRUE(action.status) << action.status.error().message();
  const auto after = lab::living_cache(host(), *maker);
  ASSERT_TRUE(test::ok(after));
  const std::uint64_t lost = after->lost_by_live_since(*before);
  std::printf("  %llu of %llu zombies freed, %llu KiB of live page cache lost, of %llu MiB\n",
              static_cast<unsigned long long>(action.freed()),
              static_cast<unsigned long long>(action.zombies_before),
              static_cast<unsigned long long>(lost >> 10),
              static_cast<unsigned long long>(seen->page_cache >> 20));
  EXPECT_GE(action.freed(), number / 10 * 9);
  // One hundredth of the machine's page cache may be lost.
  EXPECT_LE(lost, seen->page_cache / 100);
}

TEST_F(RealSqueeze, ReclaimOfActivePagesEndsEarlyAndKeepsToItsBudget) {
  if (!v2()) GTEST_SKIP() << "needs the v2 memory controller";
  const auto files = folder(lab::Pin::active);
  if (!files) return test::skip("no folder on a disk");
  auto maker = zombies(lab::Pin::active, *files);
  ASSERT_TRUE(test::ok(maker));
  constexpr std::uint64_t neighbours = 4;
  constexpr std::uint64_t cache_of_each = 32 * mebibyte;
  ASSERT_TRUE(maker->make_neighbours(neighbours, cache_of_each));
  read_inode_tables(*files, number);
  Policy policy = policy_of_tests();
  policy.only = Rung::reclaim;
  auto seen = look_at_new(*maker, number, policy);
  ASSERT_TRUE(test::ok(seen));
  if (!seen->can_reclaim) return test::skip("no memory.reclaim before Linux 5.19");
  auto& tops = seen->ancestors;
  tops.erase(std::remove_if(tops.begin(), tops.end(),
                            [this](const auto& top) { return top.path != path("zombies"); }),
             tops.end());
  ASSERT_EQ(tops.size(), 1U);
  const auto before = lab::living_cache(host(), *maker);
  ASSERT_TRUE(test::ok(before));
  ASSERT_GE(before->neighbours, neighbours * cache_of_each / 10 * 9);

  const auto outcome =
      carry_out(host(), guard_, {Decision::act, "", {Rung::reclaim}}, policy, *seen);
  ASSERT_TRUE(test::ok(outcome));
  const Action& action = outcome->actions.at(0);
  ASSERT_TRUE(action.status) << action.status.error().message();
  const auto after = lab::living_cache(host(), *maker);
  ASSERT_TRUE(test::ok(after));
  const std::uint64_t lost = after->lost_by_live_since(*before);
  std::printf("  %llu of %llu zombies freed, %llu KiB of live page cache lost, %.1f s\n",
              static_cast<unsigned long long>(action.freed()),
              static_cast<unsigned long long>(action.zombies_before),
              static_cast<unsigned long long>(lost >> 10),
              std::chrono::duration<double>(action.duration).count());
  // One hundredth may be lost, and the kernel takes somewhat more than it is asked for.
  EXPECT_LE(lost, before->neighbours / 50);
  constexpr int most_steps = 8;
  const auto longest =
      action.freed() < number / 2 ? most_steps * policy.still_for : policy.deadline;
  EXPECT_LT(action.duration, longest);
}

}  // namespace squeeze_test
