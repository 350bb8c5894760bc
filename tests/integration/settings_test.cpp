// SPDX-FileCopyrightText: The cgctl authors
// SPDX-License-Identifier: MIT
#include "cgctl/settings.hpp"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <string>
#include <vector>

#include "../support/result.hpp"
#include "../support/skip.hpp"
#include "cgctl/group.hpp"
#include "real_cgroups.hpp"

namespace settings_test {

using namespace cgctl;
using test::fails;
using test::must;
using ::testing::HasSubstr;

class RealTransaction : public test::RealCgroups {
 protected:
  [[nodiscard]] bool has_v1(const char* controller) const {
    const Hierarchy* const found = host().find(controller);
    return found != nullptr && found->version == Version::v1;
  }
  [[nodiscard]] Group made_for(const std::vector<std::string>& controllers) const {
    return must(Group::create(host(), path("a"), Creation{controllers, {}}));
  }
};

constexpr const char* throttle = "blkio.throttle.read_bps_device";
constexpr const char* other_throttle = "blkio.throttle.write_bps_device";

TEST_F(RealTransaction, RestoresTheLineOfADevice) {
  if (!has_v1("blkio") || !has_v1("pids")) return test::skip("needs v1 blkio and pids");
  const auto disks = test::block_devices();
  if (disks.size() < 2) return test::skip("needs two block devices");
  const Group group = made_for({"blkio", "pids"});
  must(settings::apply(group, {{throttle, disks[0] + " 100000"}}));
  const std::string before = must(group.read(throttle));
  const auto refused = settings::apply(group, {{throttle, disks[1] + " 77"},
                                               {throttle, disks[0] + " 78"},
                                               {other_throttle, disks[1] + " 79"},
                                               {"pids.max", "bad"}});
  ASSERT_FALSE(refused);
  EXPECT_THAT(refused.error().message(), HasSubstr("the other values are as before"));
  EXPECT_EQ(must(group.read(throttle)), before);
  EXPECT_EQ(must(group.read(other_throttle)), "");
}

TEST_F(RealTransaction, WritesEachLineOfAValue) {
  if (!has_v1("blkio")) return test::skip("needs v1 blkio");
  const auto disks = test::block_devices();
  if (disks.size() < 2) return test::skip("needs two block devices");
  const Group group = made_for({"blkio"});
  const auto written =
      must(settings::apply(group, {{throttle, disks[0] + " 77\n" + disks[1] + " 78\n"}}));
  EXPECT_EQ(written.size(), 2U);
  EXPECT_THAT(must(group.read(throttle)), HasSubstr(disks[0] + " 77"));
  EXPECT_THAT(must(group.read(throttle)), HasSubstr(disks[1] + " 78"));
}

TEST_F(RealTransaction, RestoresOomControl) {
  if (v2() || !has_v1("pids")) return test::skip("needs v1 memory and pids");
  const Group group = made_for({"memory", "pids"});
  must(settings::apply(group, {{"memory.oom_control", "1"}, {"memory.limit_in_bytes", "64M"}}));
  const auto refused = settings::apply(group, {{"memory.oom_control", "0"}, {"pids.max", "bad"}});
  EXPECT_THAT(refused.error().message(), HasSubstr("the other values are as before"));
  EXPECT_THAT(must(group.read("memory.oom_control")), HasSubstr("oom_kill_disable 1"));
}

TEST_F(RealTransaction, RestoresDeviceRules) {
  if (!has_v1("devices") || !has_v1("pids")) return test::skip("needs v1 devices and pids");
  const Group group = made_for({"devices", "pids"});
  const auto set = [&](const std::string& last) {
    return settings::apply(group, {{"devices.deny", "a"},
                                   {"devices.allow", "c 1:3 rwm\nc 1:5 r"},
                                   {"devices.deny", "c 1:3 w"},
                                   {"pids.max", last}});
  };
  EXPECT_THAT(set("bad").error().message(), HasSubstr("the other values are as before"));
  EXPECT_EQ(must(group.read("devices.list")), "a *:* rwm\n");
  must(set("5"));
  const std::string list = must(group.read("devices.list"));
  EXPECT_EQ(list, "c 1:3 rm\nc 1:5 r\n");
  const auto refused = settings::apply(
      group, {{"devices.deny", "c 1:5 r"}, {"devices.allow", "c 1:7 m"}, {"pids.max", "bad"}});
  EXPECT_THAT(refused.error().message(), HasSubstr("the other values are as before"));
  EXPECT_THAT(must(group.read("devices.list")), HasSubstr("c 1:3 rm\n"));
  EXPECT_THAT(must(group.read("devices.list")), HasSubstr("c 1:5 r\n"));
  EXPECT_THAT(must(group.read("devices.list")), ::testing::Not(HasSubstr("1:7")));
}

TEST_F(RealTransaction, RefusesToContinueAfterAValueWithoutUndo) {
  if (v2() || !has_v1("pids")) return test::skip("needs v1 memory and pids");
  const Group group = made_for({"memory", "pids"});
  EXPECT_TRUE(fails(settings::apply(group, {{"memory.force_empty", "0"}, {"pids.max", "5"}}),
                    errc::invalid_argument));
  EXPECT_EQ(must(group.read("pids.max")), "max\n");
  EXPECT_FALSE(settings::can_be_restored(group, {"memory.force_empty", "0"}));
  EXPECT_TRUE(settings::can_be_restored(group, {"pids.max", "5"}));
}

}  // namespace settings_test
