// SPDX-FileCopyrightText: The cgctl authors
// SPDX-License-Identifier: MIT
#include <gtest/gtest.h>

#include <array>
#include <cstdint>
#include <string>

#include "cgctl/cpu.hpp"

namespace cpu_weight_test {

using namespace cgctl::cpu;

constexpr std::array<Conversion, 4> all = {Conversion::kernel, Conversion::systemd,
                                           Conversion::oci2020, Conversion::oci2025};

struct Row {
  std::uint64_t shares;
  std::array<std::uint64_t, 4> weights;  // in the order of `all`
};

// The last two columns are runc's results before 2025 and since.
constexpr std::array<Row, 12> rows = {{
    {0, {1, 1, 0, 0}},
    {1, {1, 1, 1, 1}},
    {2, {1, 1, 1, 1}},
    {10, {1, 1, 1, 4}},
    {100, {10, 9, 4, 17}},
    {512, {50, 50, 20, 59}},
    {1000, {98, 97, 39, 99}},
    {1024, {100, 100, 39, 100}},
    {2000, {195, 195, 77, 170}},
    {102400, {10000, 10000, 3906, 4429}},
    {262144, {10000, 10000, 10000, 10000}},
    {300000, {10000, 10000, 10000, 10000}},
}};

TEST(CpuWeight, SharesBecomeTheWeightOfTheNamedConversion) {
  for (const Row& row : rows) {
    for (std::size_t i = 0; i < all.size(); ++i) {
      EXPECT_EQ(to_weight(Shares{row.shares}, all[i]).value, row.weights[i])
          << row.shares << " by " << to_string(all[i]);
    }
  }
}

TEST(CpuWeight, TheDefaultIsTheKernels) {
  EXPECT_EQ(to_weight(Shares{512}).value, 50U);
  EXPECT_EQ(to_shares(Weight{50}).value, 512U);
}

TEST(CpuWeight, WeightsBecomeSharesInRange) {
  EXPECT_EQ(to_shares(Weight{100}, Conversion::kernel).value, 1024U);
  EXPECT_EQ(to_shares(Weight{1}, Conversion::kernel).value, 10U);
  EXPECT_EQ(to_shares(Weight{59}, Conversion::kernel).value, 604U) << "604.16";
  EXPECT_EQ(to_shares(Weight{98}, Conversion::kernel).value, 1004U) << "1003.52 rounded";
  EXPECT_EQ(to_shares(Weight{98}, Conversion::systemd).value, 1003U) << "and cut off";
  EXPECT_EQ(to_shares(Weight{10000}, Conversion::kernel).value, 102400U);
  for (const Conversion conversion : all) {
    for (const std::uint64_t weight : {0U, 1U, 100U, 10000U, 20000U}) {
      const std::uint64_t shares = to_shares(Weight{weight}, conversion).value;
      EXPECT_GE(shares, 2U) << to_string(conversion);
      EXPECT_LE(shares, 262144U) << to_string(conversion);
    }
  }
}

TEST(CpuWeight, EveryWeightComesBackFromItsSharesWhereSharesAreFineEnough) {
  for (std::uint64_t weight = 1; weight <= 10000; ++weight) {
    for (const Conversion conversion : {Conversion::kernel, Conversion::oci2020}) {
      ASSERT_EQ(to_weight(to_shares(Weight{weight}, conversion), conversion).value, weight)
          << to_string(conversion);
    }
    const Shares shares = to_shares(Weight{weight}, Conversion::oci2025);
    ASSERT_GE(to_weight(shares, Conversion::oci2025).value, weight) << "the least that reach it";
    if (shares.value > 2) {
      ASSERT_LT(to_weight(Shares{shares.value - 1}, Conversion::oci2025).value, weight);
    }
  }
}

TEST(CpuWeight, MoreSharesNeverWeighLess) {
  for (const Conversion conversion : all) {
    std::uint64_t last = 0;
    for (std::uint64_t shares = 1; shares <= 262144; ++shares) {
      const std::uint64_t weight = to_weight(Shares{shares}, conversion).value;
      ASSERT_GE(weight, last) << shares << " by " << to_string(conversion);
      last = weight;
    }
  }
}

TEST(CpuWeight, EachConversionHasItsName) {
  for (const Conversion conversion : all) {
    EXPECT_EQ(conversion_named(to_string(conversion)), conversion);
  }
  EXPECT_FALSE(conversion_named("Kernel"));
  EXPECT_FALSE(conversion_named(""));
}

}  // namespace cpu_weight_test
