// SPDX-FileCopyrightText: The cgctl authors
// SPDX-License-Identifier: MIT
#include "cgctl/tree.hpp"

#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <sys/inotify.h>
#include <sys/stat.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <filesystem>
#include <fstream>
#include <map>
#include <sstream>
#include <string>
#include <vector>

#include "../support/result.hpp"
#include "../support/skip.hpp"
#include "cgctl/cgconfig.hpp"
#include "cgctl/group.hpp"
#include "cgctl/memory.hpp"
#include "cgctl/unique_fd.hpp"
#include "real_cgroups.hpp"

namespace real_tree_test {

using namespace cgctl;
using test::must;
using ::testing::HasSubstr;

class RealTree : public test::RealCgroups {
 protected:
  [[nodiscard]] bool has(const char* controller) const {
    return host().find(controller) != nullptr;
  }
  [[nodiscard]] bool cpu_v2() const { return host().find("cpu")->version == Version::v2; }

  /// Returns a group section of cgconfig.conf for a cgroup below the test's own; "" is the test's
  /// own.
  [[nodiscard]] std::string group(const std::string& below, const std::string& sections) const {
    return "group \"" + path(below).substr(1) + "\" { " + sections + " }\n";
  }
  [[nodiscard]] std::string quota(unsigned quota, unsigned period) const {
    const std::string q = std::to_string(quota);
    const std::string p = std::to_string(period);
    return cpu_v2() ? "cpu { cpu.max = \"" + q + " " + p + "\"; }"
                    : "cpu { cpu.cfs_quota_us = " + q + "; cpu.cfs_period_us = " + p + "; }";
  }
  [[nodiscard]] std::string limit(const std::string& bytes) const {
    return "memory { " + std::string(v2() ? "memory.max" : "memory.limit_in_bytes") + " = " +
           bytes + "; }";
  }
  [[nodiscard]] Result<tree::Plan> apply(const std::string& text,
                                         tree::Options options = {}) const {
    return tree::apply(host(), must(cgconfig::parse(text, "test")).tree, options);
  }
  [[nodiscard]] std::string snapshot() const {
    return must(cgconfig::format(must(tree::snapshot(host(), path()))));
  }
  /// Returns owner and content of each writable file, and owner and mode of each directory, below
  /// the test's own cgroup. Leaves out counters that change by themselves.
  [[nodiscard]] std::map<std::string, std::string> everything() const {
    std::map<std::string, std::string> found;
    for (const Hierarchy& hierarchy : host().hierarchies()) {
      const std::string top = hierarchy.mount_point + path();
      if (!std::filesystem::exists(top)) continue;
      for (const auto& entry : std::filesystem::recursive_directory_iterator(top)) {
        const std::string name = entry.path().filename().string();
        struct ::stat mode {};
        if (::stat(entry.path().c_str(), &mode) != 0) continue;
        if (entry.is_directory()) {
          found[entry.path()] = std::to_string(mode.st_uid) + " " + std::to_string(mode.st_mode);
        }
        if (!entry.is_regular_file() || (mode.st_mode & S_IWUSR) == 0) continue;
        if (name.find("usage") != std::string::npos || name.find("peak") != std::string::npos ||
            name.find("pressure") != std::string::npos) {
          continue;
        }
        std::ostringstream text;
        text << std::to_string(mode.st_uid) + " " << std::ifstream(entry.path()).rdbuf();
        found[entry.path()] = text.str();
      }
    }
    return found;
  }
};

TEST_F(RealTree, AppliedTwiceChangesNothingTheSecondTime) {
  const std::string text = group("a", quota(50000, 100000) + limit("64M")) +
                           group("a/b", quota(20000, 100000) + limit("32M"));
  const auto first = must(apply(text));
  EXPECT_FALSE(first.changes_nothing());
  EXPECT_TRUE(must(apply(text)).changes_nothing());
  const Group made = must(host().open(path("a/b")));
  EXPECT_EQ(must(memory::Controller(made).state()).max->bytes, 32U << 20U);
  EXPECT_EQ(must(cpu::Controller(made).state()).bandwidth->quota, std::chrono::milliseconds(20));
}

TEST_F(RealTree, SnapshotRemovedAndAppliedIsTheSameSnapshot) {
  must(apply(group("", "cpu {} memory {}") + group("a", quota(50000, 100000) + limit("64M")) +
             group("a/b b", limit("32M") + (has("pids") ? "pids { pids.max = 7; }" : ""))));
  if (!v2()) must(must(host().open(path("a"))).write("memory.swappiness", "10"));
  must(apply(group("a/inherits", "memory {}")));
  const std::string before = snapshot();
  EXPECT_THAT(before, HasSubstr("/a/b b\" {"));
  Removal all;
  all.below = Removal::Below::remove;
  must(must(host().open(path("a"))).remove(all));
  EXPECT_NE(snapshot(), before);
  must(apply(before));
  EXPECT_EQ(snapshot(), before);
}

TEST_F(RealTree, MovesLimitsOfParentAndChildBothWays) {
  const auto both = [&](unsigned top, unsigned below) {
    return group("a", quota(top, 100000)) + group("a/b", quota(below, 100000));
  };
  must(apply(both(50000, 40000)));
  EXPECT_TRUE(test::ok(apply(both(20000, 10000)))) << "the child must be lowered first";
  EXPECT_TRUE(test::ok(apply(both(90000, 80000)))) << "the parent must be raised first";
  const Group child = must(host().open(path("a/b")));
  EXPECT_EQ(must(cpu::Controller(child).state()).bandwidth->quota, std::chrono::milliseconds(80));
}

TEST_F(RealTree, ABadLastValueRestoresEveryByte) {
  must(apply(group("", "cpu {} memory {}") + group("a", quota(50000, 100000) + limit("64M")) +
             group("gone", "cpu {} memory {}")));
  const Group kept = must(host().open(path("a")));
  const test::Tenant tenant(directory("a"), [] { return 0; });
  const auto tenants = must(kept.processes());
  ASSERT_FALSE(tenants.empty());
  const auto before = everything();
  tree::Options options;
  options.others = tree::Options::Others::remove;
  const auto refused =
      apply(group("", "cpu {} memory {}") +
                group("a", "perm { admin { uid = 1; } task { gid = 2; } }" + quota(70000, 200000) +
                               limit("128M") + (has("pids") ? "pids { pids.max = 9; }" : "")) +
                group("new/deep", limit("32M")) + group("z", quota(1, 100000)),
            options);
  ASSERT_FALSE(refused);
  EXPECT_THAT(refused.error().message(), HasSubstr("/z/cpu."));
  EXPECT_THAT(refused.error().message(), HasSubstr("nothing was changed"));
  EXPECT_EQ(everything(), before);
  EXPECT_EQ(must(kept.processes()), tenants);
}

TEST_F(RealTree, RestoresAnEmptyList) {
  const Hierarchy* const cpusets = host().find("cpuset");
  if (cpusets == nullptr || cpusets->version == Version::v2) {
    return test::skip("needs the cpuset controller on v1");
  }
  must(apply(group("", "cpuset {}")));
  const std::string first = must(must(host().open("/")).read("cpuset.mems"));
  const auto refused = apply(group("", "cpuset { cpuset.mems = " + first.substr(0, 1) + "; }") +
                             group("z", quota(1, 100000)));
  ASSERT_FALSE(refused);
  EXPECT_THAT(refused.error().message(), HasSubstr("nothing was changed"));
  EXPECT_EQ(must(must(host().open(path())).read("cpuset.mems")), "\n");
}

TEST_F(RealTree, RemovesWhatIsNotNamedAndKeepsTheRest) {
  must(apply(group("", "cpu {} memory {}") + group("a/b", "cpu {} memory {}") +
             group("c", "cpu {} memory {}")));
  tree::Options options;
  options.others = tree::Options::Others::remove;
  const auto done =
      must(apply(group("", "cpu {} memory {}") + group("a", "cpu {} memory {}"), options));
  EXPECT_FALSE(host().open(path("a/b")));
  EXPECT_FALSE(host().open(path("c")));
  EXPECT_TRUE(host().open(path("a")));
  EXPECT_FALSE(done.changes_nothing());
}

TEST_F(RealTree, GivesOwnersAndModes) {
  const std::string text =
      group("a",
            "perm { task { uid = 3; fperm = 666; } admin { uid = 1; gid = 2; dperm = 750; "
            "fperm = 664; } } memory {}");
  must(apply(text));
  const auto look = [&](const std::string& file) {
    struct ::stat found {};
    EXPECT_EQ(::stat((directory("a") + "/" + file).c_str(), &found), 0) << file;
    return found;
  };
  EXPECT_EQ(look("").st_uid, 1U);
  EXPECT_EQ(look("").st_mode & 0777U, 0750U);
  EXPECT_EQ(look("memory.stat").st_gid, 2U);
  EXPECT_EQ(look("memory.stat").st_mode & 0777U, 0444U) << "no right that the owner lacks";
  EXPECT_EQ(look("cgroup.procs").st_uid, 3U);
  EXPECT_EQ(look("cgroup.procs").st_mode & 0777U, 0666U);
  EXPECT_TRUE(must(apply(text)).changes_nothing());
}

TEST_F(RealTree, OfManyCgroupsIsMadeAndRead) {
  constexpr unsigned many = 300;
  std::string text = group("", "memory {}");
  for (unsigned i = 0; i < many; ++i) text += group("g" + std::to_string(i), limit("1G"));
  must(apply(text));
  EXPECT_EQ(must(tree::snapshot(host(), path())).size(), many + 1);
  EXPECT_TRUE(must(apply(text)).changes_nothing());
}

/// Tests of the v1 devices controller's rules.
class RealDevices : public RealTree {
 protected:
  void SetUp() override {
    RealTree::SetUp();
    if (IsSkipped() || HasFatalFailure()) return;
    const Hierarchy* const devices = host().find("devices");
    if (devices == nullptr || devices->version != Version::v1) {
      GTEST_SKIP() << "needs the v1 devices controller";
    }
  }
  [[nodiscard]] std::string list(const std::string& below) const {
    return must(must(host().open(path(below))).read("devices.list"));
  }
  static constexpr const char* null_only =
      "devices { devices.deny = \"a *:* rwm\"; devices.allow = \"c 1:3 rwm\"; }";
};

TEST_F(RealDevices, AreRestoredAfterAFailure) {
  must(apply(group("", "cpu {} memory {} devices {}") + group("all", "devices {}") +
             group("some", null_only) + group("some/below", "devices {}")));
  ASSERT_EQ(list("all"), "a *:* rwm\n");
  ASSERT_EQ(list("some/below"), "c 1:3 rwm\n");
  const auto refused =
      apply(group("all", null_only) +
            group("some", "devices { devices.deny = \"c 1:3 w\"; devices.allow = \"c 1:5 r\"; }") +
            group("z", quota(1, 100000)));
  ASSERT_FALSE(refused);
  EXPECT_THAT(refused.error().message(), HasSubstr("/z/cpu."));
  EXPECT_THAT(refused.error().message(), HasSubstr("nothing was changed"));
  EXPECT_EQ(list("all"), "a *:* rwm\n");
  EXPECT_EQ(list("some"), "c 1:3 rwm\n");
  EXPECT_EQ(list("some/below"), "c 1:3 rwm\n") << "an ancestor's rule had narrowed it";
}

TEST_F(RealDevices, GetTheirRulesBeforeChildCgroupsAreCreated) {
  const std::string text = group("a", null_only) + group("a/b", null_only) +
                           group("c",
                                 "devices { devices.deny = a; devices.allow = \"c 1:3 rwm\n"
                                 "c 1:5 r\"; }");
  must(apply(text));
  EXPECT_EQ(list("a/b"), "c 1:3 rwm\n");
  EXPECT_EQ(list("c"), "c 1:3 rwm\nc 1:5 r\n");
  EXPECT_TRUE(must(apply(text)).changes_nothing());
  EXPECT_FALSE(must(apply(group("c", null_only))).changes_nothing());
  EXPECT_EQ(list("c"), "c 1:3 rwm\n");
}

TEST_F(RealTree, WritesEachLineOfAValueForSeveralDevices) {
  if (!has("blkio") && !has("io")) return test::skip("needs the blkio or io controller");
  const auto disks = test::block_devices();
  if (disks.size() < 2) return test::skip("needs two block devices");
  const std::string limits = disks[0] + " rbps=1048576\n" + disks[1] + " rbps=2097152";
  const std::string text = group("a", "io { io.max = \"" + limits + "\"; }");
  must(apply(text));
  EXPECT_TRUE(must(apply(text)).changes_nothing());
  const std::string taken = snapshot();
  for (const std::string& value :
       {disks[0], disks[1], std::string("1048576"), std::string("2097152")})
    EXPECT_THAT(taken, HasSubstr(value));
  EXPECT_TRUE(must(apply(taken)).changes_nothing());
}

TEST_F(RealTree, ReportsValuesThatTheKernelChanged) {
  const auto done = must(
      apply(group("a", cpu_v2() ? "memory { memory.max = 70001; }" : "cpu { cpu.shares = 1; }")));
  const auto change =
      std::find_if(done.steps.begin(), done.steps.end(),
                   [](const tree::Step& step) { return step.kind == tree::Step::Kind::change; });
  ASSERT_NE(change, done.steps.end());
  EXPECT_EQ(change->kept, cpu_v2() ? "69632" : "2");
  const auto same = must(apply(group("b", limit("64M"))));
  for (const tree::Step& step : same.steps) EXPECT_EQ(step.kept, "");
}

/// Returns a descriptor that becomes readable when something in `directory` is removed.
UniqueFd removal_watch(const std::string& directory) {
  UniqueFd watch(::inotify_init1(IN_CLOEXEC | IN_NONBLOCK));
  EXPECT_GE(::inotify_add_watch(watch.get(), directory.c_str(), IN_DELETE), 0);
  return watch;
}

TEST_F(RealTree, StoppedWhilePruningRestoresTheRemovedCgroups) {
  must(apply(group("", "memory {} cpu {}") + group("b", "memory {}") +
             group("z", "perm { admin { uid = 1; gid = 2; dperm = 750; } task { uid = 3; } } " +
                            limit("64M") + (has("freezer") ? "freezer {}" : "") +
                            (has("devices") ? "devices { devices.deny = a; devices.allow = "
                                              "\"c 1:5 r\"; }"
                                            : "") +
                            (host().unified() != nullptr ? "cgroup {}" : ""))));
  const Group last = must(host().open(path("z")));
  if (has("freezer")) must(last.write("freezer.state", "FROZEN"));
  if (!v2()) std::ofstream(directory("z") + "/notify_on_release") << "1";
  const auto before = everything();
  const auto devices = [&] {
    return has("devices") ? must(must(host().open(path("z"))).read("devices.list")) : "";
  };
  const std::string list = devices();
  const UniqueFd watch = removal_watch(directory());
  tree::Options options;
  options.others = tree::Options::Others::remove;
  options.stop = watch.get();
  const auto stopped = apply(group("", "memory {}"), options);
  EXPECT_TRUE(test::fails(stopped, errc::cancelled));
  EXPECT_THAT(stopped.error().message(), HasSubstr("nothing was changed"));
  EXPECT_EQ(last.read("cgroup.procs").error().kind, errc::vanished) << "it is another cgroup";
  EXPECT_EQ(everything(), before);
  EXPECT_EQ(devices(), list);
}

TEST_F(RealTree, WithAThreadInAThreadedCgroupIsNotPruned) {
  if (host().unified() == nullptr) return test::skip("needs cgroup v2");
  must(apply(group("", "memory {} cgroup {}") + group("x", "memory {}") +
             group("dom", "cgroup {}") + group("dom/thr", "cgroup {}")));
  const std::string top = host().unified()->mount_point + path("dom");
  if (!(std::ofstream(top + "/thr/cgroup.type") << "threaded").flush()) {
    return test::skip("needs threaded cgroups");
  }
  const test::Tenant tenant(top, [&] {
    std::ofstream threads(top + "/thr/cgroup.threads");
    return (threads << "0").flush() ? 0 : errno;
  });
  tree::Options options;
  options.others = tree::Options::Others::remove;
  const auto refused = apply(group("", "memory {}") + group("dom", "cgroup {}"), options);
  EXPECT_TRUE(test::fails(refused, errc::system));
  EXPECT_THAT(refused.error().message(),
              HasSubstr("/dom/thr: it would be removed, but has threads"));
  EXPECT_TRUE(host().open(path("x")));
}

TEST_F(RealTree, IsPrunedTheSameWithUncleanPaths) {
  must(apply(group("", "memory {}") + group("a/named", "memory {}") +
             group("a/other", "memory {}")));
  tree::Options options;
  options.others = tree::Options::Others::remove;
  const tree::Tree wanted{{"/" + path("a"), {{"memory", {}}}},
                          {path("a") + "//named/", {{"memory", {}}}}};
  must(tree::apply(host(), wanted, options));
  EXPECT_TRUE(host().open(path("a/named")));
  EXPECT_FALSE(host().open(path("a/other")));
}

TEST_F(RealTree, KeepsADirectoryOfV2WithoutControllersInItsSnapshot) {
  if (host().unified() == nullptr) return test::skip("needs cgroup v2");
  must(apply(group("a", "cgroup {} " + limit("64M"))));
  const tree::Tree taken = must(tree::snapshot(host(), path("a")));
  must(must(host().open(path("a"))).remove());
  must(tree::apply(host(), taken));
  EXPECT_EQ(::access((host().unified()->mount_point + path("a")).c_str(), F_OK), 0);
}

TEST_F(RealTree, GivesOwnersToACgroupWithoutControllers) {
  if (host().unified() == nullptr) return test::skip("needs cgroup v2");
  const std::string text = group("a", "perm { admin { uid = 1; gid = 2; } } cgroup {}");
  must(apply(text));
  struct ::stat found {};
  ASSERT_EQ(::stat((host().unified()->mount_point + path("a")).c_str(), &found), 0);
  EXPECT_EQ(found.st_uid, 1U);
  EXPECT_TRUE(must(apply(text)).changes_nothing());
}

}  // namespace real_tree_test
