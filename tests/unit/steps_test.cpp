// SPDX-FileCopyrightText: The cgctl authors
// SPDX-License-Identifier: MIT
#include "mitigation/steps.hpp"

#include <gtest/gtest.h>

#include <string>
#include <vector>

#include "mitigation/subtrees.hpp"

namespace steps_test {

using namespace cgctl;
using detail::Holdings;
using detail::Steps;

constexpr std::uint64_t mebibyte = std::uint64_t{1} << 20;

Holdings held_by(std::uint64_t zombies, std::uint64_t each) {
  Holdings held;
  held.add(zombies, zombies * each);
  return held;
}

const Steps::Limits limits{mebibyte, 10 * mebibyte, held_by(25'600, 4096)};

TEST(Holdings, CountTheSmallestFirst) {
  Holdings held;
  EXPECT_EQ(held.of_smallest(9), 0);
  held.add(1, 400 * mebibyte);
  held.add(0, 0);
  held.add(100, 100 * mebibyte);
  held.add(1000, std::uint64_t{1000} * 4096);
  EXPECT_EQ(held.of_smallest(-1), 0);
  EXPECT_EQ(held.of_smallest(500), 500 * 4096);
  EXPECT_EQ(held.of_smallest(1050), 1000 * 4096 + 50 * mebibyte);
  EXPECT_EQ(held.of_smallest(1100), 1000 * 4096 + 100 * mebibyte);
  EXPECT_EQ(held.total(), 1000 * 4096 + 500 * mebibyte);
  EXPECT_EQ(held.of_smallest(9999), held.total());
}

TEST(Steps, GoOnWhileZombiesGoAndEndAfterTwoThatFreeNone) {
  Steps steps(limits, 100);
  steps.note(mebibyte, 100);
  EXPECT_TRUE(steps.go_on());
  EXPECT_EQ(steps.next(), mebibyte) << "it may have come to live cgroups only";
  steps.note(mebibyte, 60);
  EXPECT_TRUE(steps.freed_any());
  EXPECT_EQ(steps.next(), mebibyte);
  steps.note(mebibyte, 61);
  EXPECT_TRUE(steps.go_on()) << "the kernel skips a recently used page once";
  EXPECT_EQ(steps.next(), mebibyte / 2);
  steps.note(mebibyte / 2, 60);
  EXPECT_FALSE(steps.go_on()) << "one of 4 KiB for 512 KiB is an accident";
}

TEST(Steps, EndAfterFourThatFreeNone) {
  Steps steps(limits, 100);
  for (unsigned step = 0; step < 4; ++step) {
    EXPECT_TRUE(steps.go_on());
    EXPECT_EQ(steps.next(), mebibyte);
    steps.note(mebibyte, 100);
  }
  EXPECT_FALSE(steps.go_on());
}

TEST(Steps, DoNotTakeALoneZombieForTheBeginning) {
  Steps steps(limits, 100);
  for (unsigned step = 0; step < 4; ++step) {
    EXPECT_TRUE(steps.go_on());
    EXPECT_EQ(steps.next(), mebibyte);
    steps.note(mebibyte, 99);
  }
  EXPECT_FALSE(steps.go_on());
}

TEST(Steps, EndWithTheLastZombie) {
  Steps steps(limits, 1);
  steps.note(4096, 0);
  EXPECT_FALSE(steps.go_on());
  EXPECT_FALSE(Steps(limits, 0).go_on());
}

TEST(Steps, GrowToAllThatTheRestHoldsOnceZombiesGo) {
  const Steps::Limits few{mebibyte, 10 * mebibyte, held_by(1000, 4096)};
  Steps steps(few, 1000);
  steps.note(mebibyte, 900);
  EXPECT_EQ(steps.next(), mebibyte + std::uint64_t{900} * 4096);
  steps.note(4 * mebibyte, 800);
  EXPECT_EQ(steps.next(), mebibyte) << "it took less than a quarter from zombies";

  Steps of_many(limits, 25'600);
  of_many.note(mebibyte, 25'500);
  EXPECT_EQ(of_many.next(), 5 * mebibyte);
  of_many.note(5 * mebibyte, 24'500);
  EXPECT_EQ(of_many.next(), 21 * mebibyte);
}

TEST(Steps, DoNotTakeSmallZombiesForLargeOnes) {
  Holdings held = held_by(200, 4096);
  held.add(1, 400 * mebibyte);
  const Steps::Limits one_large{mebibyte, 10 * mebibyte, held};
  Steps steps(one_large, 201);
  steps.note(mebibyte, 151);
  EXPECT_EQ(steps.lost(), mebibyte - std::uint64_t{50} * 4096);
  EXPECT_EQ(steps.next(), mebibyte) << "most of the step was page cache of live cgroups";
}

TEST(Steps, DoNotGrowByZombiesThatOthersMakeMeanwhile) {
  const Steps::Limits few{mebibyte, 10 * mebibyte, held_by(1000, 4096)};
  Steps steps(few, 1000);
  steps.note(mebibyte, 700);
  steps.note(mebibyte, 5000);
  EXPECT_EQ(steps.lost(), 2 * mebibyte);
  steps.note(mebibyte, 400);
  EXPECT_EQ(steps.next(), mebibyte + std::uint64_t{400} * 4096);
}

TEST(Steps, AskForNoMoreThanTheZombiesWithinReachHold) {
  constexpr std::uint64_t each = 4096;
  const Steps::Limits within{mebibyte, 10 * mebibyte, held_by(500, each)};
  Steps steps(within, 10'000);
  steps.note(mebibyte, 9'900);
  EXPECT_EQ(steps.next(), mebibyte + 400 * each);
  steps.note(mebibyte, 9'500);
  EXPECT_EQ(steps.next(), mebibyte) << "all others are out of reach";
}

TEST(Steps, EndWhenTooMuchIsLost) {
  constexpr std::int64_t freed = 16;
  constexpr std::uint64_t lost = mebibyte - freed * 4096;
  Steps steps(limits, 10'000);
  for (std::int64_t step = 1; step <= 9; ++step) steps.note(mebibyte, 10'000 - step * freed);
  EXPECT_EQ(steps.lost(), 9 * lost);
  EXPECT_TRUE(steps.go_on());
  steps.note(mebibyte, 10'000 - 10 * freed);
  EXPECT_TRUE(steps.go_on());
  EXPECT_EQ(steps.next(), 10 * (mebibyte - lost)) << "near the limit";
  steps.note(mebibyte, 10'000 - 11 * freed);
  EXPECT_FALSE(steps.go_on());
  EXPECT_EQ(steps.next(), Steps::least);
}

TEST(Steps, DoNotCountAsLostWhatGoesWithTheZombies) {
  Steps steps(limits, 10'000);
  for (std::int64_t step = 1; step <= 30; ++step) steps.note(mebibyte, 10'000 - step * 256);
  EXPECT_EQ(steps.lost(), 0);
  EXPECT_TRUE(steps.go_on());
}

TEST(Steps, TakeASixteenthOfTheLossAtATime) {
  const mitigation::Policy policy;
  const std::uint64_t cache = std::uint64_t{100} << 30;
  EXPECT_EQ(Steps::limits_for(policy, cache, {}).loss, cache / 100);
  EXPECT_EQ(Steps::limits_for(policy, cache, {}).step, cache / 100 / 16);
  EXPECT_EQ(Steps::limits_for(policy, 10 * mebibyte, {}).step, mebibyte / 4);
}

TEST(Steps, OfAMachineWithoutPageCacheDoNotBegin) {
  EXPECT_EQ(detail::share_of(0, 1), 0);
  EXPECT_EQ(detail::share_of(1000, 2.5), 25);
  const Steps::Limits none{mebibyte, detail::share_of(0, 1), held_by(1, 4096)};
  EXPECT_FALSE(Steps(none, 100).go_on());
}

// ---- cgroups to squeeze ----

std::vector<std::string> paths_of(const std::vector<zombies::Ancestor>& all) {
  std::vector<std::string> paths;
  for (const auto& one : all) paths.push_back(one.path);
  return paths;
}

using Paths = std::vector<std::string>;

TEST(Subtrees, AreTheTopMostThatCoverTheZombies) {
  const auto tops = detail::subtrees({{"/pods/a/b", 3, 100},
                                      {"/system/x", 1, 500},
                                      {"/pods", 2, 50},
                                      {"/podsandmore", 1, 10},
                                      {"/pods/c", 4, 60}},
                                     [](const std::string&) { return true; });
  EXPECT_EQ(paths_of(tops), (Paths{"/system", "/pods", "/podsandmore"}));
  EXPECT_EQ(tops[1].bytes, 210);
  EXPECT_EQ(tops[1].count, 9);
}

TEST(Subtrees, KeepTheClassesOfSize) {
  zombies::Residual pages;
  pages.file = 4096;
  const auto tops = detail::subtrees(
      {{"/a/b", 1, 4096, pages, {{1, 4096}}}, {"/a/c", 3, 4096, pages, {{2, 0}, {1, 4096}}}},
      [](const std::string&) { return true; });
  ASSERT_EQ(tops.size(), 1);
  EXPECT_EQ(tops[0].page_cache.size(), 3);
}

TEST(Subtrees, NeverAreTheRoot) {
  EXPECT_TRUE(detail::subtrees({{"/", 9, 4096}}, [](const std::string&) { return true; }).empty());
}

TEST(Subtrees, BeginWhereChargesAreHierarchical) {
  const auto is_hierarchical = [](const std::string& path) {
    return path != "/flat" && path != "/flat/too";
  };
  const auto tops = detail::subtrees({{"/flat", {}, 4096},
                                      {"/flat/too", {}, 4096},
                                      {"/flat/a/b", {}, 4096},
                                      {"/flat/c", {}, 8192}},
                                     is_hierarchical);
  EXPECT_EQ(paths_of(tops), (Paths{"/flat/c", "/flat/a"}));
  EXPECT_FALSE(tops[0].count);
}

TEST(Subtrees, CountPageCacheThatProcessesMap) {
  zombies::Residual mapped;
  mapped.file = mapped.mapped = 8192;
  const auto tops =
      detail::subtrees({{"/a", 5, 8192, mapped}}, [](const std::string&) { return true; });
  EXPECT_EQ(paths_of(tops), Paths{"/a"});
}

TEST(Subtrees, LeaveOutZombiesWithoutPageCache) {
  zombies::Residual tmpfs;
  tmpfs.anon = tmpfs.shmem = 4096;
  zombies::Residual cache;
  cache.file = 8192;
  const auto tops =
      detail::subtrees({{"/a", 5, 4096, tmpfs}, {"/b", 5, 8192, cache}, {"/c", 5, std::nullopt}},
                       [](const std::string&) { return true; });
  EXPECT_EQ(paths_of(tops), Paths{"/b"});
}

TEST(HeldBelow, IsALowEstimateWhereALiveCgroupsPagesMayBeAmongThem) {
  mitigation::Observation seen;
  const auto total = [&seen](const zombies::Ancestor& one) {
    return detail::held_below(seen, one).total();
  };
  EXPECT_EQ(total({"/a", 100, 100 * mebibyte}), 100 * mebibyte);
  EXPECT_EQ(total({"/a", 100, 0}), 100 * seen.page_size);
  seen.zombies.low = 10;
  EXPECT_EQ(total({"/a", std::nullopt, 0}), 10 * seen.page_size);
  seen.zombies.hierarchy = Version::v2;
  EXPECT_EQ(total({"/a", 100, 100 * mebibyte}), 100 * 65536);
  seen.source = zombies::Source::census;
  EXPECT_EQ(total({"/a", 100, 100 * mebibyte}), 100 * mebibyte);
}

TEST(HeldBelow, TellsSmallZombiesFromLargeOnes) {
  zombies::Residual pages;
  pages.file = 401 * mebibyte;
  const auto held = detail::held_below(
      {}, {"/a", 201, pages.file, pages, {{200, mebibyte}, {1, 400 * mebibyte}}});
  EXPECT_EQ(held.of_smallest(100), mebibyte / 200 * 100);
  EXPECT_EQ(held.total(), 401 * mebibyte);
}

}  // namespace steps_test
