// SPDX-FileCopyrightText: The cgctl authors
// SPDX-License-Identifier: MIT
#include <fcntl.h>
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <cerrno>
#include <cstdio>
#include <filesystem>
#include <string>
#include <vector>

#include "../support/deep_chain.hpp"
#include "../support/result.hpp"
#include "../support/temp_directory.hpp"
#include "cgctl/filesystem.hpp"
#include "cgctl/group.hpp"
#include "cgctl/zombies.hpp"
#include "detail/tree_walk.hpp"

namespace deep_tree_test {

using namespace cgctl;
using detail::Next;
using detail::Step;
using test::DeepChain;
using test::FewDescriptors;
using test::must;
using ::testing::ElementsAre;
using zombies::DirectoryCounter;

UniqueFd opened(const std::filesystem::path& path) {
  return must(fs::open_trusted(path, O_PATH | O_DIRECTORY));
}

/// Returns a directory in memory if there is one: creating thousands of directories is fastest
/// there.
std::filesystem::path in_memory() {
  const std::filesystem::path shm = "/dev/shm";
  return std::filesystem::is_directory(shm) ? shm : std::filesystem::temp_directory_path();
}

TEST(WalkBelow, EntersParentsBeforeChildrenAndLeavesThemAfter) {
  const test::TempDirectory tree;
  for (const char* path : {"b/x", "a", "b-c", "d/e/f", "skipped/g"}) {
    std::filesystem::create_directories(tree / path);
  }
  const UniqueFd top = opened(tree.path());
  std::vector<std::string> seen;
  const auto enter = [&](const Step& step) -> Result<Next> {
    seen.push_back(step.path);
    return step.path == "/skipped" ? Next::past : Next::inside;
  };
  const auto leave = [&](const Step& step) -> Status {
    EXPECT_EQ(step.path.substr(step.path.rfind('/') + 1), step.name);
    EXPECT_EQ(::faccessat(step.parent, step.name, F_OK, 0), 0) << step.path;
    seen.push_back("-" + step.path);
    return {};
  };
  EXPECT_TRUE(detail::walk_below(top.get(), "tree", enter, leave));
  EXPECT_THAT(seen,
              ElementsAre("/a", "-/a", "/b", "/b/x", "-/b/x", "-/b", "/b-c", "-/b-c", "/d", "/d/e",
                          "/d/e/f", "-/d/e/f", "-/d/e", "-/d", "/skipped", "-/skipped"));
}

TEST(WalkBelow, StopsOnRequest) {
  const test::TempDirectory tree;
  std::filesystem::create_directories(tree / "a/b");
  std::filesystem::create_directories(tree / "a/c");
  std::filesystem::create_directories(tree / "d");
  const UniqueFd top = opened(tree.path());
  std::vector<std::string> seen;
  const auto enter = [&](const Step& step) -> Result<Next> {
    seen.push_back(step.path);
    return step.path == "/a/b" ? Next::end : Next::inside;
  };
  EXPECT_TRUE(detail::walk_below(top.get(), "tree", enter));
  EXPECT_THAT(seen, ElementsAre("/a", "/a/b"));
}

TEST(EachBelow, VisitsADirectoryBeforeOrAfterThoseInsideIt) {
  const test::TempDirectory tree;
  std::filesystem::create_directories(tree / "a/b");
  std::filesystem::create_directories(tree / "c");
  const UniqueFd top = opened(tree.path());
  std::vector<std::string> seen;
  const auto visit = [&](const Step& step) -> Status {
    seen.push_back(step.path);
    return {};
  };
  EXPECT_TRUE(detail::each_below(top.get(), "tree", visit));
  EXPECT_THAT(seen, ElementsAre("/a", "/a/b", "/c"));
  seen.clear();
  EXPECT_TRUE(detail::each_below_inmost_first(top.get(), "tree", visit));
  EXPECT_THAT(seen, ElementsAre("/a/b", "/a", "/c"));
}

TEST(EachBelow, EndsWithTheFirstError) {
  const test::TempDirectory tree;
  std::filesystem::create_directories(tree / "a/b");
  std::filesystem::create_directories(tree / "c");
  const UniqueFd top = opened(tree.path());
  std::vector<std::string> seen;
  const auto refuse = [&](const Step& step) -> Status {
    seen.push_back(step.path);
    return fail(Error::make(errc::outside, "visit", step.path, "refused"));
  };
  EXPECT_TRUE(test::fails(detail::each_below(top.get(), "tree", refuse), errc::outside));
  EXPECT_THAT(seen, ElementsAre("/a"));
  seen.clear();
  EXPECT_TRUE(
      test::fails(detail::each_below_inmost_first(top.get(), "tree", refuse), errc::outside));
  EXPECT_THAT(seen, ElementsAre("/a/b"));
}

class DeepTree : public ::testing::Test {
 protected:
  static constexpr std::size_t depth = 2100;  // the paths have 4,200 bytes

  test::TempDirectory tree_{in_memory()};
  DeepChain chain_{tree_.path(), depth};
  UniqueFd top_ = opened(tree_.path());
  FewDescriptors few_{64};
};

TEST_F(DeepTree, IsWalkedToItsEndAndBack) {
  std::size_t deepest = 0;
  std::size_t entered = 0;
  std::size_t left = 0;
  const auto enter = [&](const Step& step) -> Result<Next> {
    deepest = std::max(deepest, step.path.size() / 2);
    ++entered;
    return Next::inside;
  };
  const auto leave = [&](const Step& step) -> Status {
    EXPECT_EQ(::faccessat(step.parent, step.name, F_OK, 0), 0);
    ++left;
    return {};
  };
  EXPECT_TRUE(detail::walk_below(top_.get(), "tree", enter, leave));
  EXPECT_EQ(deepest, depth);
  EXPECT_EQ(entered, chain_.size());
  EXPECT_EQ(left, chain_.size());
}

TEST_F(DeepTree, IsWalkedWithHardlyADescriptor) {
  std::vector<UniqueFd> others;
  for (UniqueFd other = opened("/"); other; other = UniqueFd(::open("/", O_PATH | O_CLOEXEC))) {
    others.push_back(std::move(other));
  }
  others.resize(others.size() - 5);
  std::vector<std::string> paths;
  EXPECT_TRUE(add_paths_below(top_.get(), "tree", paths));
  EXPECT_EQ(paths.size(), chain_.size());
}

TEST_F(DeepTree, IsOpenedByPathsBeyondTheKernelsLongest) {
  const std::string path = chain_.path(depth);
  ASSERT_GT(path.size(), 4096U);
  for (const std::size_t levels : {2047U, 2048U, 2049U, 2100U}) {
    const std::string inside = chain_.path(levels);
    EXPECT_TRUE(fs::open_beneath(top_.get(), inside, O_PATH | O_DIRECTORY, "tree")) << levels;
  }
  const auto missing = fs::open_beneath(top_.get(), path + "/d", O_PATH | O_DIRECTORY, "tree");
  ASSERT_FALSE(missing);
  EXPECT_EQ(missing.error().os_errno, ENOENT);
  std::filesystem::create_directory_symlink("/", tree_ / "link");
  const auto link = fs::open_beneath(top_.get(), "link" + path, O_PATH | O_DIRECTORY, "tree");
  EXPECT_TRUE(test::fails(link, errc::outside));
}

/// After a directory was moved, its ".." leads elsewhere.
TEST_F(DeepTree, IsNotConfusedWithAMovedDirectory) {
  const std::string from = tree_ / chain_.path(500).substr(1);
  const std::string to = tree_ / "moved";
  const auto enter = [&](const Step& step) -> Result<Next> {
    const bool bottom = step.path == chain_.path(depth);
    EXPECT_EQ(bottom ? std::rename(from.c_str(), to.c_str()) : 0, 0);
    return Next::inside;
  };
  const auto walked = detail::walk_below(top_.get(), "tree", enter);
  EXPECT_EQ(std::rename(to.c_str(), from.c_str()), 0);
  ASSERT_FALSE(walked);
  EXPECT_EQ(walked.error().os_errno, ESTALE);
}

class DeepTreeCounted : public DeepTree, public ::testing::WithParamInterface<std::size_t> {};

TEST_P(DeepTreeCounted, SeveralTimes) {
  DirectoryCounter counter(GetParam());
  for (int round = 0; round < 3; ++round) {
    EXPECT_EQ(must(counter.count(top_.get(), "tree")), chain_.size() + 1);
  }
  const auto bottom =
      must(fs::open_beneath(top_.get(), chain_.path(depth), O_PATH | O_DIRECTORY, "bottom"));
  ASSERT_EQ(::mkdirat(bottom.get(), "new", 0755), 0);
  EXPECT_EQ(must(counter.count(top_.get(), "tree")), chain_.size() + 2);
  ASSERT_EQ(::unlinkat(bottom.get(), "new", AT_REMOVEDIR), 0);
  EXPECT_EQ(must(counter.count(top_.get(), "tree")), chain_.size() + 1);
}

INSTANTIATE_TEST_SUITE_P(WithDescriptorsKept, DeepTreeCounted, ::testing::Values(0U, 3U, 1000U));

/// A recursion, such as one of destructors, would overflow the stack here.
TEST(DeeperTree, IsCountedAndForgotten) {
  const test::TempDirectory tree(in_memory());
  const DeepChain chain(tree.path(), 20000);
  const UniqueFd top = opened(tree.path());
  EXPECT_EQ(zombies::count_directories(top.get(), "tree").value_or(0), chain.size() + 1);
}

}  // namespace deep_tree_test
