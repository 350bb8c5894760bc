// SPDX-FileCopyrightText: The cgctl authors
// SPDX-License-Identifier: MIT
#include <fcntl.h>
#include <gtest/gtest.h>

#include <algorithm>
#include <filesystem>
#include <iterator>
#include <string>
#include <utility>

#include "../support/random_tree.hpp"
#include "../support/result.hpp"
#include "../support/temp_directory.hpp"
#include "cgctl/filesystem.hpp"
#include "cgctl/zombies.hpp"

namespace directory_counter_test {

using namespace cgctl;
using test::must;
using zombies::DirectoryCounter;

/// Counts in a temporary directory.
class Counted : public ::testing::TestWithParam<std::size_t> {
 protected:
  [[nodiscard]] std::uint64_t count(DirectoryCounter& counter) const {
    return must(counter.count(fd_.get(), "tree"));
  }
  void make(const std::filesystem::path& below) const {
    std::filesystem::create_directories(tree_.path() / below);
  }
  void remove(const std::filesystem::path& below) const {
    std::filesystem::remove_all(tree_.path() / below);
  }

  test::TempDirectory tree_;
  UniqueFd fd_ = must(fs::open_trusted(tree_.path(), O_PATH | O_DIRECTORY));
};

TEST_P(Counted, AgainAfterRandomChanges) {
  for (const unsigned seed : {1U, 2U, 3U}) {
    const std::string top = "seed" + std::to_string(seed);
    make(top);
    const UniqueFd fd = must(fs::open_trusted(tree_ / top, O_PATH | O_DIRECTORY));
    DirectoryCounter counter(GetParam());
    test::RandomTree random(tree_ / top, seed);
    for (int round = 0; round < 1000; ++round) {
      for (int changes = round % 5; changes > 0; --changes) random.change();
      ASSERT_EQ(must(counter.count(fd.get(), top)), random.size()) << top << ", " << round;
      ASSERT_EQ(must(zombies::count_directories(fd.get(), top)), random.size()) << round;
    }
  }
}

TEST_P(Counted, AgainAfterReplacements) {
  make("pods/a/1");
  make("pods/b");
  DirectoryCounter counter(GetParam());
  EXPECT_EQ(count(counter), 5U);
  remove("pods/a");
  make("pods/c/1");
  make("pods/c/2");
  EXPECT_EQ(count(counter), 6U) << "a directory with children";
  remove("pods/b");
  make("pods/d/1");
  EXPECT_EQ(count(counter), 7U) << "a directory with children replaces a leaf";
  remove("pods/c");
  make("pods/c/1/2/3");
  EXPECT_EQ(count(counter), 8U) << "a new one of the same name";
  remove("pods/d/1");
  make("pods/c/1/4");
  EXPECT_EQ(count(counter), 8U) << "a leaf replaces a directory with children";
}

TEST_P(Counted, AgainAfterAllWereRemoved) {
  make("a/b/c");
  DirectoryCounter counter(GetParam());
  EXPECT_EQ(count(counter), 4U);
  remove("a");
  EXPECT_EQ(count(counter), 1U);
  std::filesystem::remove(tree_.path());
  EXPECT_EQ(count(counter), 1U) << "open directories still exist";
  std::filesystem::create_directory(tree_.path());
}

TEST_P(Counted, ByACounterOfAnotherTree) {
  make("one/a/b");
  make("one/c");
  make("two/a");
  make("two/c/b");
  make("two/c/d");
  DirectoryCounter counter(GetParam());
  const UniqueFd one = must(fs::open_trusted(tree_ / "one", O_PATH | O_DIRECTORY));
  const UniqueFd two = must(fs::open_trusted(tree_ / "two", O_PATH | O_DIRECTORY));
  for (int i = 0; i < 3; ++i) {
    EXPECT_EQ(must(counter.count(one.get(), "one")), 4U);
    EXPECT_EQ(must(counter.count(two.get(), "two")), 5U);
  }
}

TEST_P(Counted, ByACounterThatWasMoved) {
  make("a/b");
  DirectoryCounter first(GetParam());
  EXPECT_EQ(count(first), 3U);
  DirectoryCounter second = std::move(first);
  make("a/c/d");
  EXPECT_EQ(count(second), 5U);
  EXPECT_EQ(count(first), 5U) << "a counter without knowledge";
}

std::size_t open_descriptors() {
  const auto all = std::filesystem::directory_iterator("/proc/self/fd");
  return static_cast<std::size_t>(std::distance(begin(all), end(all)));
}

TEST_P(Counted, WithAtMostTheGivenDescriptors) {
  constexpr std::size_t inner = 12;
  make("1/2/3/4/5/6/7/8/leaf");
  make("pods/a/leaf");
  make("pods/b/leaf");
  make("pods/c/leaf");
  const std::size_t before = open_descriptors();
  DirectoryCounter counter(GetParam());
  for (int i = 0; i < 3; ++i) {
    EXPECT_EQ(count(counter), inner + 5U);
    EXPECT_EQ(open_descriptors() - before, std::min(GetParam(), inner));
  }
  remove("1");
  remove("pods/a");
  EXPECT_EQ(count(counter), 6U);
  EXPECT_EQ(count(counter), 6U);
  EXPECT_EQ(open_descriptors() - before, std::min<std::size_t>(GetParam(), 3));
  remove("pods");
  EXPECT_EQ(count(counter), 1U);
  EXPECT_EQ(open_descriptors(), before);
}

INSTANTIATE_TEST_SUITE_P(WithDescriptorsKept, Counted, ::testing::Values(0U, 3U, 1000U));

}  // namespace directory_counter_test
