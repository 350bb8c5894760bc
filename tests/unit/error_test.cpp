// SPDX-FileCopyrightText: The cgctl authors
// SPDX-License-Identifier: MIT
#include "cgctl/error.hpp"

#include <gtest/gtest.h>

#include <cerrno>
#include <string>

namespace error_test {

using cgctl::errc;
using cgctl::Error;

TEST(Error, ReadsAsOperationPathReasonAndHint) {
  const Error error = Error::make(errc::unsupported, "open", "/sys/fs/cgroup/a/memory.reclaim",
                                  "this cgroup has no such file", "needs Linux 5.19");
  EXPECT_EQ(
      error.message(),
      "open /sys/fs/cgroup/a/memory.reclaim: this cgroup has no such file (needs Linux 5.19)");
}

TEST(Error, WithoutAHintHasNoParentheses) {
  EXPECT_EQ(Error::make(errc::truncated, "parse", "/f", "the file is empty").message(),
            "parse /f: the file is empty");
}

TEST(Error, WithoutAPathNamesTheOperationAlone) {
  EXPECT_EQ(Error::make(errc::malformed, "parse", "", "no list").message(), "parse: no list");
}

TEST(Error, WithoutAReasonHasTheErrnosText) {
  const Error error = Error::system("open", "/f", EACCES, "run as root");
  EXPECT_EQ(error.kind, errc::system);
  EXPECT_EQ(error.os_errno, EACCES);
  EXPECT_EQ(error.message(), "open /f: Permission denied (run as root)");
}

TEST(Error, PrefersItsOwnReasonToTheErrno) {
  Error error = Error::system("read", "/f", ENODEV);
  error.reason = "the cgroup was removed";
  EXPECT_EQ(error.message(), "read /f: the cgroup was removed");
}

TEST(Error, WithNeitherReasonNorErrnoNamesItsKind) {
  EXPECT_EQ(Error::make(errc::timed_out, "wait", "/f", "").message(), "wait /f: timed_out");
}

TEST(Error, WithoutAnyTextStillHasAMessage) { EXPECT_EQ(Error{}.message(), ": system"); }

TEST(Error, MadeByHandHasNoErrno) {
  EXPECT_EQ(Error::make(errc::outside, "open", "/f", "why").os_errno, 0);
}

TEST(ErrorKind, HasTheNameThatTheCodeUses) {
  EXPECT_EQ(to_string(errc::system), "system");
  EXPECT_EQ(to_string(errc::vanished), "vanished");
  EXPECT_EQ(to_string(errc::unsupported), "unsupported");
  EXPECT_EQ(to_string(errc::malformed), "malformed");
  EXPECT_EQ(to_string(errc::truncated), "truncated");
  EXPECT_EQ(to_string(errc::invalid_argument), "invalid_argument");
  EXPECT_EQ(to_string(errc::outside), "outside");
  EXPECT_EQ(to_string(errc::incomplete_view), "incomplete_view");
  EXPECT_EQ(to_string(errc::over_budget), "over_budget");
  EXPECT_EQ(to_string(errc::busy), "busy");
  EXPECT_EQ(to_string(errc::timed_out), "timed_out");
}

TEST(ErrorKind, OfANewerLibraryIsUnknown) { EXPECT_EQ(to_string(errc{1000}), "unknown"); }

TEST(Fail, IsAnErrorOfAnyResult) {
  const auto give_up = []() { return cgctl::fail(Error::system("open", "/f", ENOENT)); };
  const cgctl::Result<int> number = give_up();
  const cgctl::Status status = give_up();
  ASSERT_FALSE(number);
  ASSERT_FALSE(status);
  EXPECT_EQ(number.error().os_errno, ENOENT);
  EXPECT_EQ(status.error().message(), number.error().message());
}

}  // namespace error_test
