// SPDX-FileCopyrightText: The cgctl authors
// SPDX-License-Identifier: MIT
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <optional>
#include <string>
#include <vector>

#include "../support/result.hpp"
#include "cgctl/memory.hpp"

namespace memory_plan_test {

using namespace cgctl;
using namespace cgctl::memory;
using cgctl::test::fails;
using cgctl::test::must;
using ::testing::HasSubstr;

constexpr std::uint64_t MiB = 1 << 20;
const Limit none{};

Limit mib(std::uint64_t count) { return Limit{count * MiB}; }

std::string planned(const State& now, const Change& wanted) {
  const auto settings = plan(now, wanted);
  if (!settings) return settings.error().message();
  std::string text;
  for (const auto& setting : *settings) {
    text += (text.empty() ? "" : " ") + setting.file + "=" + setting.value;
  }
  return text;
}

State v1(const Limit& max, const std::optional<Limit>& memsw) {
  State state;
  state.version = Version::v1;
  state.max = max;
  state.memsw_max = memsw;
  state.soft_limit = none;
  state.swappiness = 60;
  state.oom_kill = true;
  return state;
}

State v2(const Limit& max) {
  State state;
  state.version = Version::v2;
  state.max = max;
  state.high = none;
  state.low = Limit{0};
  state.min = Limit{0};
  state.swap_max = none;
  state.swap_high = none;
  state.oom_group = false;
  return state;
}

Change limits(const std::optional<Limit>& max, const std::optional<Limit>& memsw) {
  Change change;
  change.max = max;
  change.memsw_max = memsw;
  return change;
}

TEST(MemoryPlan, OnV1TheLimitWithSwapRisesFirstAndFallsLast) {
  const State now = v1(mib(2), mib(4));
  const std::string limit = "memory.limit_in_bytes=";
  const std::string memsw = "memory.memsw.limit_in_bytes=";
  EXPECT_EQ(planned(now, limits(mib(6), mib(8))), memsw + "8388608 " + limit + "6291456");
  EXPECT_EQ(planned(now, limits(mib(1), mib(1))), limit + "1048576 " + memsw + "1048576");
  EXPECT_EQ(planned(now, limits(none, none)), memsw + "-1 " + limit + "-1");
  EXPECT_EQ(planned(v1(none, none), limits(mib(1), mib(2))),
            limit + "1048576 " + memsw + "2097152");
  EXPECT_EQ(planned(now, limits(mib(3), std::nullopt)), limit + "3145728");
  EXPECT_EQ(planned(now, limits(std::nullopt, mib(3))), memsw + "3145728");
}

TEST(MemoryPlan, OnV1ALimitAboveTheOneWithSwapIsRefused) {
  const State now = v1(mib(2), mib(4));
  EXPECT_TRUE(fails(plan(now, limits(mib(5), std::nullopt)), errc::invalid_argument));
  EXPECT_THAT(
      planned(now, limits(mib(5), std::nullopt)),
      HasSubstr("a memory limit of 5242880 bytes is above that of memory and swap together, "
                "4194304 bytes (raise that one with it)"));
  EXPECT_TRUE(fails(plan(now, limits(none, std::nullopt)), errc::invalid_argument));
  EXPECT_TRUE(fails(plan(now, limits(std::nullopt, mib(1))), errc::invalid_argument));
  EXPECT_TRUE(fails(plan(v1(none, none), limits(std::nullopt, mib(1))), errc::invalid_argument));
}

TEST(MemoryPlan, EveryTransitionOfV1KeepsTheLimitBelowTheOneWithSwap) {
  const std::vector<Limit> values = {mib(1), mib(2), mib(3), mib(4), none};
  const auto number = [](const Limit& limit) { return limit.bytes.value_or(~std::uint64_t{0}); };
  const auto parsed = [](const std::string& text) {
    return text == "-1" ? ~std::uint64_t{0} : std::stoull(text);
  };
  unsigned tried = 0;
  for (const Limit& max : values) {
    for (const Limit& memsw : values) {
      for (const Limit& next : values) {
        for (const Limit& next_memsw : values) {
          if (number(max) > number(memsw) || number(next) > number(next_memsw)) continue;
          std::uint64_t limit = number(max);
          std::uint64_t together = number(memsw);
          for (const auto& setting : must(plan(v1(max, memsw), limits(next, next_memsw)))) {
            (setting.file == "memory.limit_in_bytes" ? limit : together) = parsed(setting.value);
            ASSERT_LE(limit, together) << planned(v1(max, memsw), limits(next, next_memsw));
          }
          EXPECT_EQ(limit, number(next));
          EXPECT_EQ(together, number(next_memsw));
          ++tried;
        }
      }
    }
  }
  EXPECT_EQ(tried, 225U);
}

TEST(MemoryPlan, SwapAloneIsAddedToTheMemoryLimitOnV1) {
  Change change;
  change.max = mib(2);
  change.swap_max = mib(1);
  EXPECT_EQ(planned(v1(none, none), change),
            "memory.limit_in_bytes=2097152 memory.memsw.limit_in_bytes=3145728");
  change.max.reset();
  change.swap_max = Limit{0};
  EXPECT_EQ(planned(v1(mib(4), none), change), "memory.memsw.limit_in_bytes=4194304");
  change.swap_max = none;
  EXPECT_EQ(planned(v1(mib(4), mib(8)), change), "memory.memsw.limit_in_bytes=-1");
  EXPECT_EQ(planned(v1(none, none), change), "memory.memsw.limit_in_bytes=-1");
}

TEST(MemoryPlan, SwapIsNotLimitedOnV1WithoutAMemoryLimit) {
  Change change;
  for (const Limit swap : {Limit{0}, mib(1)}) {
    change.swap_max = swap;
    const auto refused = plan(v1(none, none), change);
    ASSERT_TRUE(fails(refused, errc::invalid_argument));
    EXPECT_EQ(refused.error().hint, "give a memory limit with it");
  }
  change.max = none;
  EXPECT_TRUE(fails(plan(v1(mib(4), mib(8)), change), errc::invalid_argument));
}

TEST(MemoryPlan, TheSumLimitMinusTheMemoryLimitIsTheSwapLimitOnV2) {
  EXPECT_EQ(planned(v2(none), limits(mib(2), mib(3))),
            "memory.max=2097152 memory.swap.max=1048576");
  EXPECT_EQ(planned(v2(mib(2)), limits(std::nullopt, mib(2))), "memory.swap.max=0");
  EXPECT_EQ(planned(v2(none), limits(std::nullopt, none)), "memory.swap.max=max");
  EXPECT_TRUE(fails(plan(v2(none), limits(std::nullopt, mib(2))), errc::invalid_argument));
  EXPECT_TRUE(fails(plan(v2(none), limits(mib(3), mib(2))), errc::invalid_argument));
}

TEST(MemoryPlan, OnV2HighTakesEffectBeforeALowerMaximum) {
  Change change;
  change.max = mib(2);
  change.high = mib(1);
  EXPECT_EQ(planned(v2(none), change), "memory.high=1048576 memory.max=2097152");
  EXPECT_EQ(planned(v2(mib(1)), change), "memory.max=2097152 memory.high=1048576");
}

TEST(MemoryPlan, OnV2EverythingHasItsFile) {
  Change change;
  change.low = mib(1);
  change.min = none;
  change.swap_max = mib(2);
  change.swap_high = mib(1);
  change.oom_group = true;
  EXPECT_EQ(planned(v2(none), change),
            "memory.low=1048576 memory.min=max memory.swap.max=2097152 memory.swap.high=1048576 "
            "memory.oom.group=1");
}

TEST(MemoryPlan, OnV1TheOomControlIsRestored) {
  Change change;
  change.swappiness = 10;
  change.soft_limit = mib(1);
  change.oom_kill = false;
  EXPECT_EQ(planned(v1(none, none), change),
            "memory.soft_limit_in_bytes=1048576 memory.swappiness=10 memory.oom_control=1");
  EXPECT_EQ(must(plan(v1(none, none), change)).back().restore, "0");
}

TEST(MemoryPlan, ASettingThatTheVersionLacksIsAnErrorBeforeAnyWrite) {
  const auto unsupported = [](const State& now, auto set) {
    Change change;
    change.max = mib(1);
    set(change);
    return fails(plan(now, change), errc::unsupported);
  };
  const State one = v1(none, none);
  EXPECT_TRUE(unsupported(one, [](Change& change) { change.high = none; }));
  EXPECT_TRUE(unsupported(one, [](Change& change) { change.low = none; }));
  EXPECT_TRUE(unsupported(one, [](Change& change) { change.min = none; }));
  EXPECT_TRUE(unsupported(one, [](Change& change) { change.swap_high = none; }));
  EXPECT_TRUE(unsupported(one, [](Change& change) { change.oom_group = true; }));
  const State without_swap = v1(none, std::nullopt);
  EXPECT_TRUE(unsupported(without_swap, [](Change& change) { change.memsw_max = mib(2); }));
  EXPECT_TRUE(unsupported(without_swap, [](Change& change) { change.swap_max = mib(2); }));
  const State two = v2(none);
  EXPECT_TRUE(unsupported(two, [](Change& change) { change.soft_limit = none; }));
  EXPECT_TRUE(unsupported(two, [](Change& change) { change.swappiness = 1; }));
  EXPECT_TRUE(unsupported(two, [](Change& change) { change.oom_kill = false; }));
  State root;
  root.version = Version::v2;
  EXPECT_TRUE(unsupported(root, [](Change&) {}));
}

TEST(MemoryPlan, SwapIsNamedInOneWayOnly) {
  Change change;
  change.swap_max = none;
  change.memsw_max = none;
  EXPECT_TRUE(fails(plan(v1(none, none), change), errc::invalid_argument));
}

}  // namespace memory_plan_test
