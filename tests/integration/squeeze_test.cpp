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

/// A test on a machine with free swap.
class RealSqueezeWithSwap : public RealSqueeze {
 protected:
  void SetUp() override {
    RealSqueeze::SetUp();
    if (IsSkipped() || HasFatalFailure()) return;
    if (v2()) return test::skip("memory.force_empty is v1's");
    const auto swap = free_swap(host());
    ASSERT_TRUE(test::ok(swap));
    if (*swap == 0) GTEST_SKIP() << "no free swap, as in the emulated machines";
    files_ = folder(lab::Pin::page_cache);
    if (!files_) return test::skip("no folder on a disk");
    make("live");
    make("live/inner");
    tenant_.emplace(directory("live/inner"), [&] {
      static std::vector<char> memory;
      memory.assign(anonymous, 'x');
      return fill(*files_ / "live", neighbours_cache);
    });
  }
  void TearDown() override {
    tenant_.reset();
    RealSqueeze::TearDown();
  }

  void set_swappiness(std::string_view below, unsigned value) const {
    const std::string file = directory(below) + "/memory.swappiness";
    std::ofstream(file) << value;
    ASSERT_EQ(test::file_text(file), std::to_string(value) + "\n");
  }
  /// Returns the pages that the machine has swapped out since it started.
  [[nodiscard]] static std::uint64_t swapped_out() {
    return parse::value_of(test::file_text("/proc/vmstat"), "pswpout").value_or(0);
  }
  /// Returns a complaint unless squeeze refuses because the kernel could swap.
  std::string not_refused(const Observation& seen) {
    const std::string said = refusal(seen, policy_without_effect());
    const bool told = said.find("could swap out memory") != std::string::npos &&
                      said.find("set memory.swappiness to 0") != std::string::npos &&
                      said.find(path()) != std::string::npos;
    return told ? "" : said;
  }

  static constexpr std::size_t anonymous = std::size_t{64} << 20;

  std::unique_ptr<test::TempDirectory> files_;
  std::optional<test::Tenant> tenant_;
};

TEST_F(RealSqueezeWithSwap, IsRefusedUntilNoCgroupMaySwap) {
  auto maker = zombies(lab::Pin::page_cache, *files_);
  ASSERT_TRUE(test::ok(maker));
  read_inode_tables(*files_, number);
  const Policy policy = policy_of_tests();
  const auto seen = look_at_new(*maker, number, policy);
  ASSERT_TRUE(test::ok(seen));
  ASSERT_EQ(seen->squeezable.size(), 1U);
  EXPECT_EQ(not_refused(*seen), "");
  for (const char* const below : {"live/inner", "zombies", "zombies/home", "live"}) {
    set_swappiness(below, 0);
    EXPECT_EQ(not_refused(*seen), "") << "after " << below;
  }
  set_swappiness("", 0);
  set_swappiness("live/inner", 1);
  EXPECT_EQ(not_refused(*seen), "") << "one cgroup below may swap";
  set_swappiness("live/inner", 0);
  const std::uint64_t swapped = swapped_out();
  const auto outcome = squeeze(*seen, policy);
  ASSERT_TRUE(test::ok(outcome));
  const Action& action = outcome->actions.at(0);
  ASSERT_TRUE(action.status) << action.status.error().message();
  EXPECT_GE(action.freed(), number / 10 * 9)
      << action.zombies_before << " -> " << action.zombies_after;
  EXPECT_EQ(swapped_out(), swapped);
}

TEST_F(RealSqueezeWithSwap, IsRefusedWhileZombiesThatMightSwapHoldMemory) {
  auto of_processes = zombies(lab::Pin::anonymous, *files_, "moved");
  ASSERT_TRUE(test::ok(of_processes));
  ASSERT_TRUE(of_processes->make(50));
  for (const char* const below : {"", "live", "live/inner", "moved", "moved/home"}) {
    set_swappiness(below, 0);
  }
  auto maker = zombies(lab::Pin::page_cache, *files_);
  ASSERT_TRUE(test::ok(maker));
  const Policy policy = policy_of_tests();
  const auto seen = look_at_new(*maker, number, policy);
  ASSERT_TRUE(test::ok(seen));
  const std::uint64_t swapped = swapped_out();
  const std::string said = refusal(*seen, policy_without_effect());
  EXPECT_NE(said.find("that zombies below this cgroup hold"), std::string::npos) << said;
  EXPECT_NE(said.find("switch swap off"), std::string::npos) << said;

  ASSERT_TRUE(of_processes->cure());
  (void)settled();
  const auto cured = look(policy);
  ASSERT_TRUE(test::ok(cured));
  const auto outcome = squeeze(*cured, policy);
  ASSERT_TRUE(test::ok(outcome));
  const Action& action = outcome->actions.at(0);
  EXPECT_TRUE(action.status) << action.status.error().message();
  EXPECT_GE(action.freed(), number / 10 * 9);
  EXPECT_EQ(swapped_out(), swapped);
}

/// A test where the charges of the test's own cgroup, and of the root, are not hierarchical.
class RealSqueezeWithoutHierarchy : public RealSqueeze {
 protected:
  void SetUp() override {
    RealSqueeze::SetUp();
    if (IsSkipped() || HasFatalFailure()) return;
    if (v2()) return test::skip("memory.force_empty is v1's");
    if (test::file_text(directory("memory.use_hierarchy")) != "0\n")
      GTEST_SKIP() << "the kernel always has a hierarchy (Linux 5.11), or the root asks for it";
    files_ = folder(lab::Pin::page_cache);
    if (!files_) test::skip("no folder on a disk");
  }

  /// Makes a cgroup with hierarchical charges.
  void make_tree(std::string_view below) const {
    make(below);
    std::ofstream(directory(below) + "/memory.use_hierarchy") << 1;
    ASSERT_EQ(test::file_text(directory(below) + "/memory.use_hierarchy"), "1\n");
  }
  /// Returns a process in the cgroup `below` that has page cache of a new file.
  [[nodiscard]] std::unique_ptr<test::Tenant> tenant(std::string_view below) {
    const std::string name = *files_ / ("live-" + std::to_string(++tenants_));
    return std::make_unique<test::Tenant>(directory(below), [&] { return fill(name, cache_each); });
  }
  /// Returns the cgroups of this test that an observation has to squeeze.
  [[nodiscard]] std::vector<std::string> squeezable(const Observation& seen) const {
    std::vector<std::string> paths;
    for (const auto& top : seen.squeezable) {
      if (top.path.rfind(path(), 0) == 0) paths.push_back(top.path);
    }
    std::sort(paths.begin(), paths.end());
    return paths;
  }

  static constexpr std::uint64_t cache_each = 128 * mebibyte;

  std::unique_ptr<test::TempDirectory> files_;

 private:
  unsigned tenants_ = 0;
};

TEST_F(RealSqueezeWithoutHierarchy, IsRefusedForZombiesThatTheKernelDoesNotReach) {
  auto maker = zombies(lab::Pin::page_cache, *files_);
  ASSERT_TRUE(test::ok(maker));
  const auto live = tenant("zombies");
  const std::uint64_t others = settled();
  ASSERT_TRUE(maker->make(number));
  ASSERT_GE(settled(), others + number / 10 * 9);
  const Policy policy = policy_without_effect();
  auto seen = observe(host(), guard_, policy);
  ASSERT_TRUE(test::ok(seen));
  EXPECT_EQ(squeezable(*seen), std::vector<std::string>());
  seen->squeezable.clear();
  const std::string said = refusal(*seen, policy);
  EXPECT_NE(said.find("below a cgroup with memory.use_hierarchy 0"), std::string::npos) << said;
  const std::uint64_t cache = cache_of("zombies");
  ASSERT_GE(cache, cache_each / 10 * 9);

  // Nobody ends this writer: it takes the cgroup's own page cache, and none of the zombies'.
  std::ofstream(directory("zombies") + "/memory.force_empty") << 0 << std::flush;
  EXPECT_LT(cache_of("zombies"), cache / 10);
  EXPECT_GE(settled(), others + number / 10 * 9);
}

TEST_F(RealSqueezeWithoutHierarchy, SqueezesEachHierarchyBelow) {
  const std::vector<std::string> trees = {"flat/one", "flat/two"};
  make("flat");
  std::vector<std::unique_ptr<test::Tenant>> living;
  std::vector<Result<lab::ZombieMaker>> makers;
  for (const std::string& tree : trees) {
    make_tree(tree);
    make(tree + "/neighbour");
    living.push_back(tenant(tree + "/neighbour"));
    makers.push_back(zombies(lab::Pin::page_cache, *files_, tree + "/zombies"));
    ASSERT_TRUE(test::ok(makers.back()));
  }
  living.push_back(tenant("flat"));
  read_inode_tables(*files_, number);
  const Policy policy = policy_of_tests();
  const std::uint64_t others = settled();
  for (auto& maker : makers) ASSERT_TRUE(maker->make(number));
  ASSERT_GE(settled(), others + 2 * number / 10 * 9);
  auto seen = observe(host(), guard_, policy);
  ASSERT_TRUE(test::ok(seen));
  EXPECT_EQ(squeezable(*seen), (std::vector<std::string>{path(trees[0]), path(trees[1])}));
  const auto outcome = squeeze(*seen, policy);
  ASSERT_TRUE(test::ok(outcome));
  const Action& action = outcome->actions.at(0);
  ASSERT_TRUE(action.status) << action.status.error().message();
  EXPECT_GE(action.freed(), 2 * number / 10 * 9)
      << action.zombies_before << " -> " << action.zombies_after;
  for (const std::string& tree : trees) {
    EXPECT_GE(cache_of(tree + "/neighbour"), cache_each / 100 * 97) << tree;
  }
  EXPECT_GE(cache_of("flat"), cache_each / 100 * 99);
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
  // One zombie with much page cache must not make the others look large.
  make("large");
  {
    const test::Tenant tenant(directory("large"),
                              [&] { return fill(files->path() / "large", neighbours_cache); });
  }
  ASSERT_EQ(::rmdir(directory("large").c_str()), 0);
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
