// SPDX-FileCopyrightText: The cgctl authors
// SPDX-License-Identifier: MIT
#include <fcntl.h>
#include <gtest/gtest.h>

#include <cerrno>
#include <filesystem>
#include <string>

#include "../support/result.hpp"
#include "../support/temp_directory.hpp"
#include "cgctl/filesystem.hpp"
#include "cgctl/zombies.hpp"
#include "faulty_sys.hpp"

namespace directory_counter_test {

using namespace cgctl;
using fault::Call;
using fault::Faults;
using test::fails;
using test::must;
using zombies::DirectoryCounter;

/// A tree of two directories with two leaves each.
class CountedAgain : public ::testing::TestWithParam<std::size_t> {
 protected:
  static constexpr std::uint64_t all = 7;

  void SetUp() override {
    for (const char* leaf : {"a/1", "a/2", "b/1", "b/2"}) make(leaf);
    EXPECT_EQ(must(count()), all);
  }
  void make(const std::filesystem::path& below) const {
    std::filesystem::create_directories(tree_.path() / below);
  }
  void remove(const std::filesystem::path& below) const {
    std::filesystem::remove_all(tree_.path() / below);
  }
  [[nodiscard]] Result<std::uint64_t> count() { return counter_.count(top_.get(), "tree"); }

  test::TempDirectory tree_;
  UniqueFd top_ = must(fs::open_trusted(tree_.path(), O_PATH | O_DIRECTORY));
  DirectoryCounter counter_{GetParam()};
};

TEST_P(CountedAgain, NoticesALeafThatIsRemovedDuringTheCount) {
  {
    Faults faults;
    faults.on(Call::stat_at, "a/2").after([&] { remove("a/2"); });
    EXPECT_EQ(must(count()), all - 1);
  }
  EXPECT_EQ(must(count()), all - 1);
}

TEST_P(CountedAgain, AnUnreadableDirectoryIsAnError) {
  make("a/3");
  {
    Faults faults;
    faults.on(Call::stat_at, "a/3").fails(ENOMEM);
    EXPECT_TRUE(fails(count(), errc::system));
  }
  EXPECT_EQ(must(count()), all + 1);
}

TEST_P(CountedAgain, NoticesALeafThatGetsChildrenDuringTheCount) {
  {
    Faults faults;
    faults.on(Call::stat_at, "a/1").after([&] { make("a/1/x/y"); });
    EXPECT_EQ(must(count()), all + 2);
  }
  EXPECT_EQ(must(count()), all + 2);
}

TEST_P(CountedAgain, NoticesADirectoryRemovedJustBeforeItsStat) {
  {
    Faults faults;
    faults.on(GetParam() == 0 ? Call::open_at : Call::stat_at, "b").after([&] { remove("b"); });
    EXPECT_EQ(must(count()), all - 3);
  }
  EXPECT_EQ(must(count()), all - 3);
}

TEST_P(CountedAgain, NoticesADirectoryRemovedBetweenListAndStat) {
  make("c/1");
  {
    Faults faults;
    faults.on(Call::open_at, "c").after([&] { remove("c"); });
    EXPECT_EQ(must(count()), all);
  }
  EXPECT_EQ(must(count()), all);
}

TEST_P(CountedAgain, DoesNotCountAFileThatReplacedADirectory) {
  for (const bool link : {false, true}) {
    make("c/1");
    EXPECT_EQ(must(count()), all + 2);
    Faults faults;
    faults.on(GetParam() == 0 ? Call::open_at : Call::stat_at, "c").after([&] {
      remove("c");
      if (link) {
        std::filesystem::create_directory_symlink("a", tree_ / "c");
      } else {
        test::put_file(tree_ / "c", "");
      }
    });
    EXPECT_EQ(must(count()), all) << (link ? "a link" : "a file");
    remove("c");
  }
}

/// The cgroup b is removed before the count and created again under its name during the count,
/// while x takes its place. The number stays the same, and all names are known.
TEST_P(CountedAgain, NoticesADirectoryThatWasReplaced) {
  const UniqueFd old = must(fs::open_trusted(
      tree_ / "b", O_PATH));  // holding it keeps its inode number from being used again
  remove("b");
  for (const char* leaf : {"x/1", "x/2", "x/3"}) make(leaf);
  {
    Faults faults;
    faults.on(GetParam() == 0 ? Call::open_at : Call::stat_at, "a").after([&] { make("b/1"); });
    EXPECT_EQ(must(count()), all - 1 + 4);
  }
  EXPECT_EQ(must(count()), all - 1 + 4);
}

TEST_P(CountedAgain, NoticesALeafThatWasReplaced) {
  const UniqueFd old = must(fs::open_trusted(tree_ / "a/2", O_PATH));
  remove("a/2");
  make("a/x/y");
  Faults faults;
  faults.on(Call::stat_at, "a/2").after([&] { make("a/2"); });
  EXPECT_EQ(must(count()), all + 2);
}

TEST_P(CountedAgain, IsRightAfterACountThatFailed) {
  make("a/3/x");
  for (const int os_errno : {EIO, ENOMEM}) {
    for (const Call call : {Call::getdents64, Call::open_at}) {
      Faults faults;
      faults.on(call, "a/3").fails(os_errno);
      const auto failed = count();
      ASSERT_TRUE(fails(failed, errc::system));
      EXPECT_EQ(failed.error().os_errno, os_errno);
    }
  }
  EXPECT_EQ(must(count()), all + 2);
}

/// A tree of two directories with two leaves each, counted once.
class CountedOnce : public ::testing::Test {
 protected:
  static constexpr std::uint64_t all = 7;

  void SetUp() override {
    for (const char* leaf : {"a/1", "a/2", "b/1", "b/2"}) {
      std::filesystem::create_directories(tree_ / leaf);
    }
  }
  [[nodiscard]] Result<std::uint64_t> count() const {
    return zombies::count_directories(top_.get(), "tree");
  }

  test::TempDirectory tree_;
  UniqueFd top_ = must(fs::open_trusted(tree_.path(), O_PATH | O_DIRECTORY));
};

TEST_F(CountedOnce, IsTheTopAndAllBelow) { EXPECT_EQ(must(count()), all); }

TEST_F(CountedOnce, WithoutADirectoryThatIsGoneBeforeItIsListed) {
  Faults faults;
  faults.on(Call::open_at, "a").fails(ENOENT);
  EXPECT_EQ(must(count()), all - 3);
}

TEST_F(CountedOnce, WithoutALeafThatIsGoneBeforeItsStat) {
  Faults faults;
  faults.on(Call::stat_at, "2").times(2).fails(ENOENT);
  EXPECT_EQ(must(count()), all - 2);
}

TEST_F(CountedOnce, EachFailureIsAnError) {
  for (const int os_errno : {EIO, ENOMEM, EACCES}) {
    for (const Call call : {Call::stat, Call::open_at, Call::getdents64, Call::stat_at}) {
      Faults faults;
      faults.on(call).fails(os_errno);
      const auto counted = count();
      ASSERT_FALSE(counted);
      EXPECT_EQ(counted.error().os_errno, os_errno);
    }
  }
}

INSTANTIATE_TEST_SUITE_P(WithDescriptorsKept, CountedAgain, ::testing::Values(0U, 10U));

using CountedWithoutDescriptors = CountedAgain;

TEST_P(CountedWithoutDescriptors, ClosesKeptDirectoriesAndOpensThemNoMore) {
  make("c/1");
  {
    Faults faults;
    faults.on(Call::open_at, "c").fails(GetParam() % 2 == 0 ? EMFILE : ENFILE);
    EXPECT_EQ(must(count()), all + 2);
    EXPECT_EQ(faults.calls(Call::close, "a"), 2)
        << "the kept directories, and those opened for listing";
  }
  const Faults faults;
  EXPECT_EQ(must(count()), all + 2);
  EXPECT_EQ(faults.calls(Call::open_at), 3);
  EXPECT_EQ(faults.calls(Call::close), 3) << "no directory is kept open";
}

INSTANTIATE_TEST_SUITE_P(WithDescriptorsKept, CountedWithoutDescriptors,
                         ::testing::Values(10U, 11U));

class CountedWithNothingToGiveUp : public CountedAgain {};

TEST_P(CountedWithNothingToGiveUp, IsAnErrorWithoutADescriptor) {
  Faults faults;
  faults.on(Call::open_at, "a").fails(EMFILE);
  const auto failed = count();
  ASSERT_TRUE(fails(failed, errc::system));
  EXPECT_EQ(failed.error().os_errno, EMFILE);
  EXPECT_NE(failed.error().hint.find("ulimit -n"), std::string::npos);
}

INSTANTIATE_TEST_SUITE_P(WithDescriptorsKept, CountedWithNothingToGiveUp, ::testing::Values(0U));

}  // namespace directory_counter_test
