// SPDX-FileCopyrightText: The cgctl authors
// SPDX-License-Identifier: MIT
#include "cgctl/tree.hpp"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <algorithm>
#include <string>
#include <vector>

#include "../support/captured.hpp"
#include "../support/captures.hpp"
#include "../support/made.hpp"
#include "../support/result.hpp"
#include "cgctl/cgconfig.hpp"

namespace tree_test {

using namespace cgctl;
using test::fails;
using test::must;
using ::testing::ElementsAre;
using ::testing::HasSubstr;
using ::testing::IsEmpty;
using tree::Step;

constexpr const char* v1 = "linux-6.18-hybrid/1-fresh";
constexpr const char* v2 = "linux-6.1-v2-numa2/1-fresh";
constexpr const char* v2_group = "kubepods.slice/pod-b";

tree::Tree read(const std::string& text) { return must(cgconfig::parse(text, "test")).tree; }

std::string in_group(const std::string& path, const std::string& sections) {
  return "group " + path + " { " + sections + " }";
}

Result<tree::Plan> plan(const char* machine, const std::string& text) {
  return tree::plan(test::captured(machine), read(text));
}

/// Returns the planned changes as "FILE BEFORE -> AFTER".
std::vector<std::string> changes(const tree::Plan& plan) {
  std::vector<std::string> found;
  for (const Step& step : plan.steps) {
    if (step.kind == Step::Kind::change) {
      found.push_back(step.file + " " + step.before + " -> " + step.after);
    }
  }
  return found;
}

std::vector<std::string> kinds(const tree::Plan& plan) {
  std::vector<std::string> found;
  for (const Step& step : plan.steps) {
    found.push_back(std::string(to_string(step.kind)) + " " + step.path +
                    (step.file.empty() ? "" : " " + step.file));
  }
  return found;
}

std::string refusal(const char* machine, const std::string& text) {
  const auto planned = plan(machine, text);
  return planned ? "it was planned" : planned.error().message();
}

const tree::Cgroup& find(const tree::Tree& tree, const std::string& path) {
  const auto found = std::find_if(tree.begin(), tree.end(),
                                  [&](const tree::Cgroup& one) { return one.path == path; });
  if (found == tree.end()) throw std::runtime_error(path + " is not in the tree");
  return *found;
}

TEST(TreeSnapshot, HasTheSettingsThatDifferFromANewCgroup) {
  const test::CapturedMachine machine(v2);
  const std::string group = v2_group;
  test::put_file(machine.cgroup(group + "/cpu.max"), "50000 100000\n");
  test::put_file(machine.cgroup(group + "/memory.max"), "1073741824\n");
  const auto tree = must(tree::snapshot(must(machine.host()), "/kubepods.slice"));
  const tree::Cgroup& pod = find(tree, "/" + group);
  std::vector<std::string> settings;
  for (const tree::Section& section : pod.sections) {
    for (const auto& setting : section.settings) {
      settings.push_back(setting.file + "=" + setting.value);
    }
  }
  EXPECT_THAT(settings, ElementsAre("cpu.max=50000 100000", "memory.max=1073741824"));
}

TEST(TreeSnapshot, LeavesOutTheShareOfAnIdleCgroup) {
  const test::CapturedMachine machine(v2);
  const std::string group = v2_group;
  test::put_file(machine.cgroup(group + "/cpu.idle"), "1\n");
  test::put_file(machine.cgroup(group + "/cpu.weight"), "0\n");
  const auto text = must(cgconfig::format(must(tree::snapshot(must(machine.host()), "/" + group))));
  EXPECT_THAT(text, HasSubstr("cpu.idle = 1;"));
  EXPECT_THAT(text, ::testing::Not(HasSubstr("cpu.weight")));
}

TEST(TreeSnapshot, TreatsZeroAndMaxInVendorFilesAsUnset) {
  const test::CapturedMachine machine(v2);
  const std::string group = v2_group;
  test::put_file(machine.cgroup(group + "/memory.vendor_in_bytes"), "0\n");
  test::put_file(machine.cgroup(group + "/memory.vendor_limit"), "max\n");
  test::put_file(machine.cgroup(group + "/memory.vendor_mode"), "2\n");
  const auto text = must(cgconfig::format(must(tree::snapshot(must(machine.host()), "/" + group))));
  EXPECT_THAT(text, HasSubstr("memory.vendor_mode = 2;"));
  EXPECT_THAT(text, ::testing::Not(HasSubstr("memory.vendor_in_bytes")));
  EXPECT_THAT(text, ::testing::Not(HasSubstr("memory.vendor_limit")));
}

TEST(TreeSnapshot, OfAMissingCgroupIsAnError) {
  EXPECT_TRUE(fails(tree::snapshot(test::captured(v2), "/none"), errc::vanished));
}

TEST(TreePlan, ChangesOnlyDifferentSettings) {
  const auto planned =
      must(plan(v2, in_group(v2_group,
                             "cpu { cpu.weight = 100; cpu.max = \"50000 100000\"; }"
                             "memory { memory.high = 64M; memory.max = max; }")));
  EXPECT_THAT(changes(planned),
              ElementsAre("cpu.max max 100000 -> 50000 100000", "memory.high max -> 67108864"));
  EXPECT_THAT(kinds(planned), ElementsAre("change /kubepods.slice/pod-b cpu.max",
                                          "leave /kubepods.slice/pod-b cpu.weight",
                                          "change /kubepods.slice/pod-b memory.high",
                                          "leave /kubepods.slice/pod-b memory.max"));
  EXPECT_FALSE(planned.changes_nothing());
  EXPECT_TRUE(must(plan(v2, in_group(v2_group, "cpu { cpu.weight = 100; }"))).changes_nothing());
}

TEST(TreePlan, CreatesMissingCgroupsParentsFirst) {
  const auto planned = must(plan(v2, in_group("new/deep/er", "cpu { cpu.weight = 5; }")));
  EXPECT_THAT(kinds(planned), ElementsAre("create /new", "create /new/deep", "create /new/deep/er",
                                          "change /new/deep/er cpu.weight"));
}

TEST(TreePlan, RemovesOtherCgroupsOnlyOnRequest) {
  const test::CapturedMachine machine(v2);
  const auto tree = read(in_group("kubepods.slice", "cpu {}"));
  const Host host = must(machine.host());
  EXPECT_TRUE(must(tree::plan(host, tree)).changes_nothing());
  tree::Options options;
  options.others = tree::Options::Others::remove;
  const auto refused = tree::plan(host, tree, options);
  ASSERT_FALSE(refused);
  EXPECT_THAT(refused.error().message(), HasSubstr("it would be removed, but has processes"));
  for (const char* const pod : {"pod-a", "pod-b"}) {
    test::put_file(machine.cgroup("kubepods.slice/" + std::string(pod) + "/cgroup.procs"), "");
  }
  EXPECT_THAT(kinds(must(tree::plan(host, tree, options))),
              ElementsAre("leave /kubepods.slice", "remove /kubepods.slice/pod-b",
                          "remove /kubepods.slice/pod-a"));
}

TEST(TreePlan, ConvertsV1ToV2AndSaysSo) {
  const auto planned =
      must(plan(v2, in_group(v2_group,
                             "cpu { cpu.cfs_quota_us = 50000; cpu.cfs_period_us = 200000;"
                             "      cpu.shares = 512; }"
                             "memory { memory.limit_in_bytes = 1G;"
                             "         memory.memsw.limit_in_bytes = 3G;"
                             "         memory.soft_limit_in_bytes = -1; }"
                             "cpuacct {}")));
  EXPECT_THAT(changes(planned),
              ElementsAre("cpu.max max 100000 -> 50000 200000", "cpu.weight 100 -> 50",
                          "memory.max max -> 1073741824", "memory.swap.max max -> 2147483648"));
  EXPECT_THAT(
      planned.notes,
      ElementsAre(
          "/kubepods.slice/pod-b: cpu.cfs_quota_us 50000, cpu.cfs_period_us 200000, "
          "cpu.shares 512 -> cpu.max 50000 200000, cpu.weight 50 (kernel)",
          "/kubepods.slice/pod-b: memory.soft_limit_in_bytes -1: left out, it is the default "
          "of cgroup v2",
          "/kubepods.slice/pod-b: memory.limit_in_bytes 1G, memory.memsw.limit_in_bytes 3G "
          "-> memory.max 1073741824, memory.swap.max 2147483648",
          "/kubepods.slice/pod-b: cpuacct: left out, this host has no such controller"));
}

TEST(TreePlan, UsesTheConversionNamed) {
  tree::Options options;
  options.conversion = cpu::Conversion::oci2025;
  const auto tree = read(in_group(v2_group, "cpu { cpu.shares = 512; }"));
  const auto planned = must(tree::plan(test::captured(v2), tree, options));
  EXPECT_THAT(changes(planned), ElementsAre("cpu.weight 100 -> 59"));
  EXPECT_THAT(planned.notes.front(), HasSubstr("(oci2025)"));
}

TEST(TreePlan, ConvertsV2ToV1) {
  const auto planned = must(plan(v1, in_group("made",
                                              "cpu { cpu.max = \"max 50000\"; cpu.weight = 50; }"
                                              "memory { memory.max = 1G; memory.low = 0; }"
                                              "io { io.max = \"8:0 rbps=1000 wiops=max\"; }")));
  EXPECT_THAT(changes(planned),
              ElementsAre("cpu.cfs_period_us  -> 50000", "cpu.cfs_quota_us  -> -1",
                          "cpu.shares  -> 512", "memory.limit_in_bytes  -> 1073741824",
                          "blkio.throttle.read_bps_device  -> 8:0 1000",
                          "blkio.throttle.write_iops_device  -> 8:0 0"));
}

TEST(TreePlan, RefusesSettingsWithoutCounterpart) {
  EXPECT_THAT(refusal(v2, in_group(v2_group, "memory { memory.soft_limit_in_bytes = 1G; }")),
              HasSubstr("cgroup v2 has no soft limit"));
  EXPECT_THAT(refusal(v2, in_group(v2_group, "cpu { cpu.rt_runtime_us = 1000; }")),
              HasSubstr("cgroup v2 has no budgets for real-time tasks"));
  EXPECT_THAT(refusal(v2, in_group(v2_group, "net_cls { net_cls.classid = 1; }")),
              HasSubstr("net_cls"));
  EXPECT_THAT(refusal(v1, in_group("made", "memory { memory.high = 1G; }")),
              HasSubstr("cgroup v1 has no memory.high"));
  EXPECT_THAT(refusal(v1, in_group("made", "memory { memory.zswap.max = 1G; }")),
              HasSubstr("cgroup v1 has no counterpart of memory.zswap.max 1G"));
}

TEST(TreePlan, RefusesInvalidSettings) {
  EXPECT_THAT(refusal(v2, in_group(v2_group, "cpu { memory.max = 1; }")),
              HasSubstr("no file of the controller cpu"));
  EXPECT_THAT(refusal(v2, in_group(v2_group, "cpu { cpu.weight = ten; }")),
              HasSubstr("cpu.weight cannot be 'ten'"));
  EXPECT_THAT(refusal(v2, in_group(v2_group, "cgroup { cgroup.procs = 1; }")),
              HasSubstr("no setting"));
  EXPECT_THAT(refusal(v2, in_group(v2_group, "cpu { cpu.max = 1G; }")),
              HasSubstr("cannot be '1G'"));
}

TEST(TreePlan, LeavesOutReadOnlyFiles) {
  const auto planned = must(plan(v2, in_group(v2_group, "memory { memory.current = 5; }")));
  EXPECT_TRUE(planned.changes_nothing());
  EXPECT_THAT(planned.notes, ElementsAre(HasSubstr("memory.current: left out")));
}

TEST(TreePlan, MakesACgroupInANamedHierarchy) {
  const test::MadeMachine machine(test::v1_mount("/sys/fs/cgroup/noctrl", "none,name=noctrl"));
  machine.put_v1("noctrl");
  const auto planned = must(
      tree::plan(must(machine.host()), read("mount { \"name=noctrl\" = /sys/fs/cgroup/noctrl; }\n"
                                            "group my/test { \"name=noctrl\" { } }\n")));
  std::vector<std::string> made;
  for (const tree::Step& step : planned.steps) {
    EXPECT_EQ(step.kind, tree::Step::Kind::create);
    made.push_back(step.path);
  }
  EXPECT_THAT(made, ElementsAre("/my", "/my/test"));
  EXPECT_THAT(planned.notes, IsEmpty());
}

TEST(TreePlan, RecognizesTheSameValueInAnotherForm) {
  const test::CapturedMachine machine(v2);
  const std::string group = v2_group;
  test::put_file(machine.cgroup(group + "/memory.max"), "1073741824\n");
  test::put_file(machine.cgroup(group + "/cpu.max"), "50000 100000\n");
  const auto same = [&](const std::string& sections) {
    return must(tree::plan(must(machine.host()), read(in_group(group, sections))))
        .changes_nothing();
  };
  EXPECT_TRUE(same("memory { memory.max = 1G; }"));
  EXPECT_TRUE(same("memory { memory.max = 1073741825; }")) << "rounded down to pages";
  EXPECT_FALSE(same("memory { memory.max = 1073745920; }"));
  EXPECT_TRUE(same("cpu { cpu.max = 50000; }"));
  EXPECT_FALSE(same("cpu { cpu.max = \"50000 50000\"; }"));
}

TEST(TreePlan, ReadsNumbersAsTheKernelDoes) {
  EXPECT_THAT(changes(must(plan(v1, in_group("made",
                                             "cpu { cpu.shares = 0100; cpu.cfs_quota_us = 0x2710; }"
                                             "memory { memory.limit_in_bytes = 0x4000000; }")))),
              ElementsAre("cpu.cfs_quota_us  -> 10000", "cpu.shares  -> 64",
                          "memory.limit_in_bytes  -> 67108864"));
  EXPECT_THAT(changes(must(plan(v2, in_group(v2_group,
                                             "memory { memory.max = 1P; memory.high = 2e;"
                                             "         memory.low = 020000; }")))),
              ElementsAre("memory.high max -> 2305843009213693952", "memory.low 0 -> 8192",
                          "memory.max max -> 1125899906842624"));
  for (const char* const no : {"09", "0x", "0xg", "1Q", "--1", "0-1", "", "1 2"}) {
    EXPECT_THAT(refusal(v1, in_group("made", std::string("cpu { cpu.shares = \"") + no + "\"; }")),
                HasSubstr("cpu.shares cannot be '"))
        << no;
  }
}

TEST(TreePlan, RefusesValuesThatTheKernelWouldReadInPart) {
  EXPECT_THAT(refusal(v2, in_group(v2_group, "cpu { cpu.max = \"50000 100000 junk\"; }")),
              HasSubstr("cpu.max cannot be '50000 100000 junk'"));
  EXPECT_THAT(refusal(v2, in_group(v2_group, "cpu { cpu.idle = 5; }")),
              HasSubstr("cpu.idle cannot be '5'"));
  EXPECT_THAT(refusal(v2, in_group(v2_group, "memory { memory.oom.group = 2; }")),
              HasSubstr("memory.oom.group cannot be '2'"));
  EXPECT_THAT(refusal(v1, in_group("made", "memory { memory.oom_control = 2; }")),
              HasSubstr("memory.oom_control cannot be '2'"));
  EXPECT_THAT(refusal(v1, in_group("made", "io { io.max = \"8:0 rbps=1000 junk=5\"; }")),
              HasSubstr("no counterpart of io.max 8:0 rbps=1000 junk=5"));
}

TEST(TreePlan, RefusesConflictingValues) {
  EXPECT_THAT(refusal(v2, in_group(v2_group, "cpu { cpu.max = 5000; cpu.cfs_quota_us = 6000; }")),
              HasSubstr("cpu.cfs_quota_us conflicts with another setting"));
  EXPECT_THAT(
      refusal(v2, in_group(v2_group, "memory { memory.max = 1G; memory.limit_in_bytes = 2G; }")),
      HasSubstr("memory.limit_in_bytes conflicts with another setting"));
  const tree::Tree twice{{"/made", {{"pids", {{"pids.max", "5"}, {"pids.max", "9"}}}}}};
  const auto refused = tree::plan(test::captured(v2), twice);
  EXPECT_TRUE(fails(refused, errc::invalid_argument));
  EXPECT_THAT(refused.error().message(), HasSubstr("/made/pids.max: it is set twice"));
}

TEST(TreePlan, LeavesOutReadingsOfAControllerThatTheHostLacks) {
  const auto planned = must(
      plan(v2, in_group(v2_group, "cpuacct { cpuacct.usage = 5; } memory { memory.max = max; }")));
  EXPECT_TRUE(planned.changes_nothing());
  EXPECT_THAT(planned.notes, ElementsAre(HasSubstr("cpuacct.usage: left out, it is no setting"),
                                         HasSubstr("cpuacct: left out")));
}

TEST(TreePlan, ReadsAllLinesOfOomControl) {
  const auto planned = must(plan(v1, in_group("made",
                                              "memory { memory.oom_control = \"oom_kill_disable 1\n"
                                              "under_oom 0\noom_kill 0\"; }")));
  EXPECT_THAT(changes(planned), ElementsAre("memory.oom_control  -> 1"));
}

TEST(TreePlan, AcceptsALineForEachDevice) {
  const auto planned = must(plan(v1, in_group("made",
                                              "blkio { blkio.throttle.read_bps_device = "
                                              "\"8:0 1000\n  8:16 2000\n\n\"; }")));
  EXPECT_THAT(changes(planned), ElementsAre("blkio.throttle.read_bps_device  -> 8:0 1000",
                                            "blkio.throttle.read_bps_device  -> 8:16 2000"));
}

TEST(TreePlan, RefusesACgroupWithoutAController) {
  const auto refused = tree::plan(test::captured(v2), {{"/made", {}}});
  EXPECT_TRUE(fails(refused, errc::invalid_argument));
  EXPECT_THAT(refused.error().message(), HasSubstr("/made: without a controller"));
  EXPECT_THAT(refusal(v2, in_group(v2_group, "perm { admin { uid = 1; } }")),
              HasSubstr("without a controller"));
}

TEST(TreePlan, DoesNotListAMissingCgroupAsUnchanged) {
  const auto planned = must(plan(v2, in_group("made", "net_cls {}")));
  EXPECT_THAT(planned.steps, IsEmpty());
  EXPECT_THAT(planned.notes, ElementsAre(HasSubstr("net_cls: left out")));
}

}  // namespace tree_test
