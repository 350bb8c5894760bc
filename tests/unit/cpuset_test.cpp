// SPDX-FileCopyrightText: The cgctl authors
// SPDX-License-Identifier: MIT
#include "cgctl/cpuset.hpp"

#include <gtest/gtest.h>

namespace cpuset_test {

using namespace cgctl;

TEST(CpusetIds, AreParsedAndSorted) {
  EXPECT_EQ(cpuset::parse_ids("0-3,8\n"), (cpuset::Ids{0, 1, 2, 3, 8}));
  EXPECT_EQ(cpuset::parse_ids("8,1-2,2"), (cpuset::Ids{1, 2, 8}));
  EXPECT_EQ(cpuset::parse_ids("\n"), cpuset::Ids{});
  EXPECT_EQ(cpuset::parse_ids("65535"), cpuset::Ids{65535});
}

TEST(CpusetIds, OtherTextsAreRefused) {
  for (const char* const text :
       {"a", "1-", "3-1", "1,", "-1", "0 1", "65536", "0-18446744073709551615"}) {
    EXPECT_FALSE(cpuset::parse_ids(text)) << text;
  }
}

TEST(CpusetIds, AreWrittenAsTheKernelDoes) {
  for (const char* const text : {"", "0", "0-1", "0-3,8,10-11", "1,3,5"}) {
    EXPECT_EQ(cpuset::to_string(*cpuset::parse_ids(text)), text);
  }
}

}  // namespace cpuset_test
