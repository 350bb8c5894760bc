// SPDX-FileCopyrightText: The cgctl authors
// SPDX-License-Identifier: MIT
#include "cli/units.hpp"

#include <gtest/gtest.h>

namespace cgctl::tool {
namespace {

using namespace std::chrono_literals;

TEST(HumanTime, HasAtMostThreeDigitsAndAUnit) {
  EXPECT_EQ(human_time(1ns), "1 ns");
  EXPECT_EQ(human_time(4800ns), "4.8 us");
  EXPECT_EQ(human_time(999'600us), "1 s");
  EXPECT_EQ(human_time(10min), "10 min");
}

TEST(HumanTime, ADifferenceBelowZeroIsNoTime) {
  EXPECT_EQ(human_time(0ns), "0 s");
  EXPECT_EQ(human_time(-616ns), "0 s");
  EXPECT_EQ(human_time(std::chrono::nanoseconds::min()), "0 s");
}

TEST(HumanBytes, HasAtMostThreeDigitsAndAUnit) {
  EXPECT_EQ(human_bytes(0), "0 B");
  EXPECT_EQ(human_bytes(1536), "1.5 KiB");
  EXPECT_EQ(human_bytes(UINT64_MAX), "16 EiB");
}

}  // namespace
}  // namespace cgctl::tool
