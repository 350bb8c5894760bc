// SPDX-FileCopyrightText: The cgctl authors
// SPDX-License-Identifier: MIT
#include "mitigation/evict_search.hpp"

#include <gtest/gtest.h>
#include <unistd.h>

#include "../support/made.hpp"
#include "../support/skip.hpp"

namespace evict_search_test {

using namespace cgctl;

TEST(MappersInWords, NameThisProcessOnlyIfItIsTheLast) {
  const census::Mapper self{::getpid(), "cgctl"};
  const census::Mapper sleeper{1, "sleep"};
  EXPECT_EQ(detail::in_words({}), "");
  EXPECT_EQ(detail::in_words({self}), "this process, until it ends");
  EXPECT_EQ(detail::in_words({self, sleeper}), "sleep (1): restart it");
  EXPECT_EQ(detail::in_words({sleeper, self, sleeper}), "sleep (1) and 1 more: restart them");
}

TEST(FileFinder, NeedsTypeInformation) {
  test::MadeMachine machine(test::v1_mount("/sys/fs/cgroup/memory", "memory"));
  machine.put_v1("memory");
  const auto host = machine.host();
  ASSERT_TRUE(host);
  const auto missing = census::FileFinder::supported(*host);
  ASSERT_FALSE(missing);
  EXPECT_EQ(missing.error().kind, errc::unsupported);
  machine.put("sys/kernel/btf/vmlinux", "");
  const auto supported = census::FileFinder::supported(*host);
  if (!supported && supported.error().os_errno != 0) return test::skip(supported.error().message());
  EXPECT_TRUE(supported) << "it does not read the file";
}

}  // namespace evict_search_test
