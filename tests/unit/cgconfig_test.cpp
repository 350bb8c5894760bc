// SPDX-FileCopyrightText: The cgctl authors
// SPDX-License-Identifier: MIT
#include "cgctl/cgconfig.hpp"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <string>

#include "../support/result.hpp"

namespace cgconfig_test {

using namespace cgctl;
using test::fails;
using test::must;
using ::testing::ElementsAre;
using ::testing::HasSubstr;
using ::testing::IsEmpty;

Result<cgconfig::Configuration> parse(std::string_view text) {
  return cgconfig::parse(text, "cgconfig.conf");
}

/// Returns the error of a text that must be refused.
std::string reason(std::string_view text) {
  const auto parsed = parse(text);
  return parsed ? "it was taken" : parsed.error().message();
}

TEST(Cgconfig, ReadsGroupsControllersAndSettings) {
  const auto parsed =
      must(parse("# shares\n"
                 "mount { cpu = /sys/fs/cgroup/cpu; }\n"
                 "group batch/night {\n"
                 "  cpu { cpu.shares = 512; cpu.cfs_quota_us=\"50000\"; }\n"
                 "  memory {}\n"
                 "}\n"
                 "template users/%u { cpu { cpu.shares = 1; } }\n"));
  ASSERT_EQ(parsed.tree.size(), 1U);
  const tree::Cgroup& cgroup = parsed.tree.front();
  EXPECT_EQ(cgroup.path, "/batch/night");
  ASSERT_EQ(cgroup.sections.size(), 2U);
  EXPECT_EQ(cgroup.sections[0].controller, "cpu");
  ASSERT_EQ(cgroup.sections[0].settings.size(), 2U);
  EXPECT_EQ(cgroup.sections[0].settings[0].file, "cpu.shares");
  EXPECT_EQ(cgroup.sections[0].settings[0].value, "512");
  EXPECT_EQ(cgroup.sections[0].settings[1].value, "50000");
  EXPECT_THAT(cgroup.sections[1].settings, IsEmpty());
  EXPECT_THAT(parsed.passed_over, ElementsAre("line 2: mount", "line 7: template"));
}

TEST(Cgconfig, PassesOverTheSystemdSectionOfLibcgroup3) {
  const auto parsed =
      must(parse("systemd {\n  slice = a.slice;\n  scope = a.scope;\n  setdefault = yes;\n}\n"
                 "group a.scope/x { cpu { cpu.weight = 50; } }\n"));
  ASSERT_EQ(parsed.tree.size(), 1U);
  EXPECT_EQ(parsed.tree.front().path, "/a.scope/x");
  EXPECT_THAT(parsed.passed_over, ElementsAre("line 1: systemd"));
}

TEST(Cgconfig, PutsCgroupsAboveOthersFirstAndJoinsThoseNamedTwice) {
  const auto parsed =
      must(parse("group a/b { cpu { cpu.shares = 1; } }"
                 "group a { cpu {} }"
                 "group a/b { cpu { cpu.idle = 0; } pids {} }"
                 "group . { cpu {} }"));
  ASSERT_EQ(parsed.tree.size(), 3U);
  EXPECT_EQ(parsed.tree[0].path, "/");
  EXPECT_EQ(parsed.tree[1].path, "/a");
  EXPECT_EQ(parsed.tree[2].path, "/a/b");
  ASSERT_EQ(parsed.tree[2].sections.size(), 2U);
  EXPECT_EQ(parsed.tree[2].sections[0].settings.size(), 2U);
}

TEST(Cgconfig, ReadsPermissionsOfItsOwnAndDefaultOnes) {
  const auto parsed =
      must(parse("default { perm { task { gid = 7; } } }"
                 "group a { perm { task { uid = root; fperm = 664; }"
                 "                 admin { uid = 5; gid = 6; dperm = 750; } }"
                 "          cpu {} }"
                 "group b { cpu {} }"));
  const auto& own = parsed.tree[0].permissions;
  EXPECT_EQ(own.tasks.user, 0U);
  EXPECT_EQ(own.tasks.mode, 0664U);
  EXPECT_FALSE(own.tasks.group);
  EXPECT_EQ(own.files.user, 5U);
  EXPECT_EQ(own.files.group, 6U);
  EXPECT_EQ(own.directory_mode, 0750U);
  EXPECT_EQ(parsed.tree[1].permissions.tasks.group, 7U);
}

TEST(Cgconfig, SaysLineAndColumnOfWhatItDoesNotUnderstand) {
  EXPECT_THAT(reason("group a {\n  cpu { cpu.shares 512; }\n}"),
              HasSubstr("cgconfig.conf: line 2, column 20: '512' where '=' was expected"));
  EXPECT_THAT(reason("group a { cpu {"), HasSubstr("line 1, column 16: the end of the file"));
  EXPECT_THAT(reason("groups a {}"), HasSubstr("line 1, column 1: 'groups' where"));
  EXPECT_THAT(reason("group a { cpu { cpu.shares = \"5; } }"),
              HasSubstr("line 1, column 30: a quote that is not closed"));
  EXPECT_THAT(reason("group a { cpu { cpu.shares = 5 } }"), HasSubstr("'}' where ';'"));
  EXPECT_THAT(reason("\n\tgroup \"\" { }"), HasSubstr("line 2, column 8: a name is empty"));
  EXPECT_THAT(reason("mount { cpu = x;"), HasSubstr("closes the '{' at line 1, column 7"));
  EXPECT_THAT(reason("group a { cpu {} ; }"), HasSubstr("column 18: ';' where"));
  EXPECT_THAT(reason("group a \xff { }"), HasSubstr("column 9: a strange byte"));
  EXPECT_TRUE(fails(parse("group a { cpu { cpu.shares = 5 } }"), errc::malformed));
}

TEST(Cgconfig, RefusesPathsThatLeaveTheHierarchies) {
  EXPECT_THAT(reason("group a/../../x { cpu {} }"), HasSubstr("line 1, column 7: 'a/../../x'"));
  EXPECT_THAT(reason("group " + std::string(4096, 'a') + " { cpu {} }"),
              HasSubstr("no path of a cgroup"));
}

TEST(Cgconfig, RefusesASettingNamedTwiceButForDevices) {
  EXPECT_THAT(reason("group a { cpu { cpu.shares = 1;\ncpu.shares = 2; } }"),
              HasSubstr("line 2, column 1: cpu.shares of /a is set twice"));
  const auto parsed =
      must(parse("group a { io { io.max = \"8:0 rbps=1\"; io.max = \"8:16 rbps=2\"; } }"));
  EXPECT_EQ(parsed.tree[0].sections[0].settings.size(), 2U);
}

TEST(Cgconfig, RefusesPermissionsItDoesNotUnderstand) {
  EXPECT_THAT(reason("group a { perm { task { uid = no-such-user; } } }"),
              HasSubstr("'no-such-user' is no uid"));
  EXPECT_THAT(reason("group a { perm { admin { fperm = 999; } } }"), HasSubstr("is no fperm"));
  EXPECT_THAT(reason("group a { perm { task { dperm = 700; } } }"),
              HasSubstr("'dperm' where a right was expected"));
  EXPECT_THAT(reason("namespace { cpu = /a; }"), HasSubstr("namespace section is not supported"));
}

TEST(Cgconfig, WritesWhatItReads) {
  tree::Tree tree{{"/a b/group", {{"cpu", {{"cpu.max", "max 100000"}, {"cpu.weight", "5"}}}}},
                  {"/perm", {{"memory", {}}}}};
  tree[1].permissions.files.user = 12;
  tree[1].permissions.tasks.mode = 0664;
  const std::string text = must(cgconfig::format(tree));
  EXPECT_EQ(text,
            "group \"a b/group\" {\n\tcpu {\n\t\tcpu.max = \"max 100000\";\n\t\tcpu.weight = 5;\n"
            "\t}\n}\n\n"
            "group \"perm\" {\n\tperm {\n\t\ttask {\n\t\t\tfperm = 0664;\n\t\t}\n"
            "\t\tadmin {\n\t\t\tuid = 12;\n\t\t}\n\t}\n\tmemory {\n\t}\n}\n");
  const auto again = must(parse(text));
  EXPECT_EQ(must(cgconfig::format(again.tree)), text);
}

TEST(Cgconfig, WritesLinesForDevicesAsOneValue) {
  const tree::Tree tree{
      {"/a",
       {{"blkio",
         {{"blkio.throttle.read_bps_device", "8:0 1"},
          {"blkio.throttle.read_bps_device", "8:16 2"}}},
        {"devices",
         {{"devices.deny", "a"}, {"devices.allow", "c 1:3 r"}, {"devices.allow", "c 1:5 r"}}}}}};
  EXPECT_EQ(must(cgconfig::format(tree)),
            "group a {\n\tblkio {\n\t\tblkio.throttle.read_bps_device = \"8:0 1\n8:16 2\";\n\t}\n"
            "\tdevices {\n\t\tdevices.deny = a;\n\t\tdevices.allow = \"c 1:3 r\nc 1:5 r\";\n"
            "\t}\n}\n");
  tree::Tree mixed = tree;
  mixed[0].sections[1].settings.push_back({"devices.deny", "c 1:3 w"});
  EXPECT_TRUE(fails(cgconfig::format(mixed), errc::invalid_argument)) << "the order counts";
}

TEST(Cgconfig, LeavesOutSectionsThatLibcgroupRefuses) {
  const tree::Tree tree{{"/a", {{"cgroup", {{"cgroup.max.depth", "5"}}}}},
                        {"/b", {{"cgroup", {}}, {"cpu", {}}}},
                        {"/c", {{"cpu", {}}}}};
  EXPECT_EQ(must(cgconfig::format(tree)),
            "group b {\n\tcpu {\n\t}\n}\n\n"
            "group c {\n\tcpu {\n\t}\n}\n");
  EXPECT_THAT(cgconfig::left_out(tree), ElementsAre("/a", "/b"));
}

TEST(Cgconfig, RefusesSetuidAndSetgidModes) {
  EXPECT_THAT(reason("group a { perm { admin { fperm = 2777; } } }"), HasSubstr("is no fperm"));
  EXPECT_THAT(reason("group a { perm { task { fperm = 5777; } } }"), HasSubstr("is no fperm"));
}

TEST(Cgconfig, RefusesToWriteWhatTheTextCannotHold) {
  EXPECT_TRUE(fails(cgconfig::format({{"/a\"b", {{"cpu", {}}}}}), errc::invalid_argument));
  EXPECT_TRUE(
      fails(cgconfig::format({{"/a", {{"cpu", {{"cpu.x", "1\n2"}}}}}}), errc::invalid_argument));
}

}  // namespace cgconfig_test
