// SPDX-FileCopyrightText: The cgctl authors
// SPDX-License-Identifier: MIT
#include "doctor/kernel_log.hpp"

#include <gtest/gtest.h>

namespace cgctl::tool::doctor_command {
namespace {

TEST(KernelLog, TellsTheKillsOfMemoryCgroups) {
  const auto kills = oom_kills(
      "<6>[   12.000001] systemd[1]: started\n"
      "<6>[  831.337294] oom-kill:constraint=CONSTRAINT_MEMCG,nodemask=(null),cpuset=/,"
      "mems_allowed=0,oom_memcg=/pod,task_memcg=/pod/main,task=stress,pid=501,uid=0\n"
      "<6>[  900.5] oom-kill:constraint=CONSTRAINT_NONE,nodemask=(null),cpuset=/,mems_allowed=0,"
      "global_oom,task_memcg=/other,task=stress,pid=502,uid=0\n"
      "<6>[123456.000100] oom-kill:constraint=CONSTRAINT_MEMCG,nodemask=(null),cpuset=/,"
      "mems_allowed=0,oom_memcg=/a,task_memcg=/a,b,task=sh,pid=7,uid=0\n");
  ASSERT_EQ(kills.size(), 2U);
  EXPECT_EQ(kills[0].path, "/pod/main");
  EXPECT_EQ(kills[0].after_boot, std::chrono::seconds(831));
  EXPECT_EQ(kills[1].path, "/a,b");
  EXPECT_EQ(kills[1].after_boot, std::chrono::seconds(123456));
}

TEST(KernelLog, WithoutTimesHasKillsAllTheSame) {
  const auto kills =
      oom_kills("<6>oom-kill:constraint=CONSTRAINT_MEMCG,task_memcg=/a,task=sh,pid=7\n");
  ASSERT_EQ(kills.size(), 1U);
  EXPECT_EQ(kills[0].path, "/a");
  EXPECT_EQ(kills[0].after_boot, std::nullopt);
}

TEST(KernelLog, LinesThatEndEarlyTellNothing) {
  EXPECT_TRUE(oom_kills("").empty());
  EXPECT_TRUE(oom_kills("oom-kill:constraint=CONSTRAINT_MEMCG").empty());
  EXPECT_TRUE(oom_kills("oom-kill:constraint=CONSTRAINT_MEMCG,task_memcg=/a").empty());
  EXPECT_TRUE(oom_kills("[1.0] task_memcg=/a,task=sh\n").empty());
}

}  // namespace
}  // namespace cgctl::tool::doctor_command
