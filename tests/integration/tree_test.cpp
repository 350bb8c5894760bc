// SPDX-FileCopyrightText: The cgctl authors
// SPDX-License-Identifier: MIT
#include "cgctl/tree.hpp"

#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <sys/stat.h>

#include <filesystem>
#include <fstream>
#include <map>
#include <sstream>
#include <string>
#include <vector>

#include "../support/result.hpp"
#include "cgctl/cgconfig.hpp"
#include "cgctl/group.hpp"
#include "cgctl/memory.hpp"
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

  /// A cgroup below the test's own, "" itself, in cgconfig.conf's words.
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
  /// Of each directory below the test's own cgroup and each file that can be written, what it says
  /// and whose it is; counters that move by themselves apart.
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

TEST_F(RealTree, IsMadeAndASecondTimeNothingIsLeftToDo) {
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
  EXPECT_TRUE(test::ok(apply(both(20000, 10000)))) << "the child has to fall first";
  EXPECT_TRUE(test::ok(apply(both(90000, 80000)))) << "the parent has to rise first";
  const Group child = must(host().open(path("a/b")));
  EXPECT_EQ(must(cpu::Controller(child).state()).bandwidth->quota, std::chrono::milliseconds(80));
}

TEST_F(RealTree, WithABadValueAtItsEndIsByteForByteWhatItWas) {
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

}  // namespace real_tree_test
