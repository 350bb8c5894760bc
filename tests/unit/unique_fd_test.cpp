// SPDX-FileCopyrightText: The cgctl authors
// SPDX-License-Identifier: MIT
#include "cgctl/unique_fd.hpp"

#include <fcntl.h>
#include <gtest/gtest.h>

#include <type_traits>
#include <utility>

#include "cgctl/group.hpp"
#include "cgctl/memory_snapshot.hpp"
#include "cgctl/numa_stat.hpp"

namespace unique_fd_test {

using cgctl::UniqueFd;

UniqueFd open_something() {
  return UniqueFd(cgctl::sys::open_at(AT_FDCWD, "/", O_PATH | O_DIRECTORY));
}

bool is_open(int fd) { return ::fcntl(fd, F_GETFD) >= 0; }

TEST(UniqueFd, ClosesWhatItHoldsWhenItEnds) {
  int number = -1;
  {
    const UniqueFd fd = open_something();
    ASSERT_TRUE(fd);
    number = fd.get();
    EXPECT_TRUE(is_open(number));
  }
  EXPECT_FALSE(is_open(number));
}

TEST(UniqueFd, HoldsNothingAtFirst) {
  const UniqueFd fd;
  EXPECT_FALSE(fd);
  EXPECT_EQ(fd.get(), -1);
}

TEST(UniqueFd, CanHoldDescriptorZero) {
  UniqueFd fd(0);
  EXPECT_TRUE(fd);
  EXPECT_EQ(fd.release(), 0);
}

TEST(UniqueFd, IsMovedAndNotCopied) {
  static_assert(!std::is_copy_constructible_v<cgctl::Group>);
  static_assert(!std::is_copy_constructible_v<cgctl::numa::RootReader>);
  static_assert(!std::is_copy_constructible_v<cgctl::memory::SnapshotReader>);
  static_assert(!std::is_copy_constructible_v<UniqueFd> && !std::is_copy_assignable_v<UniqueFd>);
  UniqueFd first = open_something();
  const int number = first.get();
  const UniqueFd second = std::move(first);
  EXPECT_FALSE(
      first);  // NOLINT(bugprone-use-after-move): a moved-from descriptor is specified to be empty
  EXPECT_EQ(second.get(), number);
  EXPECT_TRUE(is_open(number));
}

TEST(UniqueFd, ClosesItsOldOneWhenAnotherIsMovedIn) {
  UniqueFd target = open_something();
  UniqueFd source = open_something();
  const int old = target.get();
  const int kept = source.get();
  target = std::move(source);
  EXPECT_FALSE(is_open(old));
  EXPECT_TRUE(is_open(kept));
  EXPECT_EQ(target.get(), kept);
}

TEST(UniqueFd, SurvivesBeingMovedIntoItself) {
  UniqueFd fd = open_something();
  UniqueFd& same = fd;
  const int number = fd.get();
  fd = std::move(same);
  EXPECT_EQ(fd.get(), number);
  EXPECT_TRUE(is_open(number));
}

TEST(UniqueFd, ReleasesWithoutClosing) {
  UniqueFd fd = open_something();
  const int number = fd.release();
  EXPECT_FALSE(fd);
  EXPECT_TRUE(is_open(number));
  cgctl::sys::close(number);
}

TEST(UniqueFd, ResetClosesTheOldAndHoldsTheNew) {
  UniqueFd fd = open_something();
  const int old = fd.get();
  fd.reset(open_something().release());
  EXPECT_FALSE(is_open(old));
  EXPECT_TRUE(is_open(fd.get()));
  fd.reset();
  EXPECT_FALSE(fd);
}

}  // namespace unique_fd_test
