// SPDX-FileCopyrightText: The cgctl authors
// SPDX-License-Identifier: MIT
#include <gtest/gtest.h>
#include <linux/kernel-page-flags.h>
#include <sys/stat.h>

#include <algorithm>
#include <chrono>
#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

#include "../support/made.hpp"
#include "../support/result.hpp"
#include "zombies/sources.hpp"

/// Attributions by the flags of pages, on machines whose pages the test makes.
namespace page_source_test {

using namespace cgctl;
using namespace std::chrono_literals;
using test::fails;
using test::must;
using zombies::Ancestor;
using zombies::Attribution;
using zombies::Live;
using zombies::Source;

constexpr std::uint64_t page = 4096;

class MadePages : public ::testing::Test {
 protected:
  explicit MadePages(std::string_view mountinfo) : machine_(mountinfo) {
    machine_.put("proc/zoneinfo", "  spanned  4096\n  start_pfn:  0\n");
    limits_.settle = 1ms;
  }

  [[nodiscard]] std::uint64_t inode(const std::string& cgroup) const {
    struct ::stat found {};
    EXPECT_EQ(::stat(machine_.cgroup(top_ + cgroup).c_str(), &found), 0) << cgroup;
    return found.st_ino;
  }
  /// Charges pages of the page cache to a cgroup.
  void charge(std::uint64_t inode, std::size_t pages) {
    const std::uint64_t cached = std::uint64_t{1} << KPF_LRU;
    for (std::size_t i = 0; i < pages; ++i) {
      cgroups_.append(reinterpret_cast<const char*>(&inode), sizeof inode);
      flags_.append(reinterpret_cast<const char*>(&cached), sizeof cached);
    }
    machine_.put("proc/kpagecgroup", cgroups_);
    machine_.put("proc/kpageflags", flags_);
  }
  [[nodiscard]] Status refine(Attribution& out, const std::vector<Live>& live = {}) const {
    const Host host = must(machine_.host());
    return zombies::refine(host, must(zombies::PageFrames::open(host)), limits_, live, out);
  }
  static const Ancestor* find(const Attribution& where, std::string_view path) {
    const auto found = std::find_if(where.ancestors.begin(), where.ancestors.end(),
                                    [&](const Ancestor& one) { return one.path == path; });
    return found == where.ancestors.end() ? nullptr : &*found;
  }

  test::MadeMachine machine_;
  zombies::AttributionLimits limits_;
  std::string top_;

 private:
  std::string cgroups_;
  std::string flags_;
};

class MadePagesOnV2 : public MadePages {
 protected:
  MadePagesOnV2() : MadePages(test::v2_mount("/sys/fs/cgroup")) {
    machine_.put_v2("", "memory");
    machine_.put("sys/fs/cgroup/a/cgroup.subtree_control", "cpu memory\n");
    machine_.put("sys/fs/cgroup/b/cgroup.subtree_control", "\n");
  }
};

TEST_F(MadePagesOnV2, AreThoseChargedToTheAncestor) {
  charge(inode("a"), 30);
  charge(inode("b"), 5);
  Attribution out;
  out.ancestors = {{"/a", 3, 999}};
  ASSERT_TRUE(test::ok(refine(out)));
  EXPECT_EQ(out.source, Source::page_flags);
  EXPECT_EQ(out.ancestors[0].count, 3);
  EXPECT_EQ(out.ancestors[0].bytes, 30 * page);
  ASSERT_TRUE(out.ancestors[0].pages);
  EXPECT_EQ(out.ancestors[0].pages->file, 30 * page);
  ASSERT_TRUE(out.residual);
  EXPECT_EQ(out.residual->file, 30 * page);
}

TEST_F(MadePagesOnV2, GiveNoTotalIfAnAncestorHasPagesOfItsOwn) {
  charge(inode("a"), 30);
  charge(inode("b"), 5);
  Attribution out;
  out.ancestors = {{"/a", 3, 999}, {"/b", 1, 999}};
  ASSERT_TRUE(test::ok(refine(out)));
  EXPECT_EQ(out.ancestors[1].bytes, 5 * page) << "an upper bound";
  EXPECT_FALSE(out.residual);
  Attribution of_root;
  of_root.ancestors = {{"/", 3, std::nullopt}};
  ASSERT_TRUE(test::ok(refine(of_root)));
  EXPECT_FALSE(of_root.residual);
}

class MadePagesOnV1 : public MadePages {
 protected:
  MadePagesOnV1() : MadePages(test::v1_mount("/sys/fs/cgroup/memory", "memory")) {
    top_ = "memory/";
    machine_.put_v1("memory");
    put("", 0, 0);
  }
  /// Gives a cgroup `own` pages; `charges` is the number of times that pages were charged to it.
  void put(const std::string& cgroup, std::uint64_t own, std::uint64_t charges) const {
    machine_.put("sys/fs/cgroup/memory/" + cgroup + "/memory.stat",
                 "pgpgin " + std::to_string(charges) + "\ninactive_file " +
                     std::to_string(own * page) + "\n");
  }
  [[nodiscard]] Live live(const std::string& cgroup, std::uint64_t own,
                          std::optional<std::uint64_t> left) const {
    Live one;
    one.path = "/" + cgroup;
    one.inode = inode(cgroup);
    one.own.file = own * page;
    one.left = left;
    return one;
  }
};

TEST_F(MadePagesOnV1, AreThoseThatTheLiveCgroupDoesNotHaveItself) {
  put("a", 10, 0);
  put("b", 7, 0);
  charge(inode("a"), 400);
  charge(inode("b"), 7);
  Attribution out;
  ASSERT_TRUE(test::ok(refine(out, {live("a", 10, 0), live("b", 7, 0), live("", 0, 0)})));
  EXPECT_EQ(out.source, Source::page_flags);
  ASSERT_EQ(out.ancestors.size(), 1);
  EXPECT_EQ(out.ancestors[0].path, "/a");
  EXPECT_EQ(out.ancestors[0].bytes, 390 * page);
  EXPECT_EQ(out.residual->file, 390 * page);
}

TEST_F(MadePagesOnV1, ReplaceEstimatesAndWhatWasUnknown) {
  put("a", 0, 0);
  put("b", 0, 0);
  charge(inode("a"), 3);
  Attribution out;
  out.ancestors = {{"/a", std::nullopt, 2 * page}, {"/b", std::nullopt, std::nullopt}};
  ASSERT_TRUE(test::ok(refine(out, {live("a", 0, 2 * page), live("b", 0, std::nullopt)})));
  ASSERT_EQ(out.ancestors.size(), 1);
  EXPECT_EQ(out.ancestors[0].bytes, 3 * page);
}

TEST_F(MadePagesOnV1, ThatBelongToNoCgroupCountInTheTotalOnly) {
  put("a", 0, 0);
  charge(inode("a"), 1);
  charge(0, 20);
  Attribution out;
  out.ancestors = {{"/b", std::nullopt, std::nullopt}};
  ASSERT_TRUE(test::ok(refine(out, {live("a", 1, std::nullopt)})));
  EXPECT_EQ(out.residual->file, 20 * page);
  EXPECT_NE(find(out, "/b"), nullptr) << "they may be below it";
}

TEST_F(MadePagesOnV1, ChargedMeanwhileAreNotZombies) {
  charge(inode(""), 400);
  for (const auto& [own, charges] : {std::pair{400, 0}, std::pair{100, 300}}) {
    put("", static_cast<std::uint64_t>(own), static_cast<std::uint64_t>(charges));
    Attribution out;
    ASSERT_TRUE(test::ok(refine(out, {live("", 100, 0)})));
    EXPECT_TRUE(out.ancestors.empty()) << own << " " << charges;
  }
}

TEST_F(MadePagesOnV1, FewerThanTheLagOfCountersNeedTheSecondLook) {
  put("a", 10, 0);
  charge(inode("a"), 20);
  const std::vector<Live> all = {live("a", 10, 0)};
  Attribution out;
  ASSERT_TRUE(test::ok(refine(out, all)));
  EXPECT_NE(find(out, "/a"), nullptr) << "the second look was the same";
  limits_.settle = 0ms;
  Attribution unsettled;
  ASSERT_TRUE(test::ok(refine(unsettled, all)));
  EXPECT_EQ(find(unsettled, "/a"), nullptr);
  Attribution certain;
  ASSERT_TRUE(test::ok(refine(certain, {live("a", 10, page)})));
  EXPECT_NE(find(certain, "/a"), nullptr) << "memory.stat says so too";
}

TEST_F(MadePagesOnV1, CannotBeToldApartIfTheSearchForLiveCgroupsEndedEarly) {
  charge(inode(""), 400);
  Attribution out;
  out.complete = false;
  EXPECT_TRUE(fails(refine(out, {live("", 0, 0)}), errc::over_budget));
  EXPECT_EQ(out.source, Source::memory_stat);
}

}  // namespace page_source_test
