// SPDX-FileCopyrightText: The cgctl authors
// SPDX-License-Identifier: MIT
#include "../support/skip.hpp"

#include <gtest/gtest-spi.h>
#include <gtest/gtest.h>

#include <cstdlib>
#include <optional>
#include <string>

namespace skip_test {

/// Sets CGCTL_REQUIRE_ALL for its lifetime.
class RequireAll {
 public:
  explicit RequireAll(const char* value) {
    if (const char* const old = std::getenv(name)) old_ = old;
    ::setenv(name, value, 1);
  }
  RequireAll(const RequireAll&) = delete;
  RequireAll& operator=(const RequireAll&) = delete;
  ~RequireAll() {
    if (old_) {
      ::setenv(name, old_->c_str(), 1);
    } else {
      ::unsetenv(name);
    }
  }

 private:
  static constexpr const char* name = "CGCTL_REQUIRE_ALL";
  std::optional<std::string> old_;
};

TEST(Skip, IsAFailureWhereEveryTestIsRequired) {
  const RequireAll required("1");
  EXPECT_FATAL_FAILURE(cgctl::test::skip("no moon"), "no moon");
}

TEST(Skip, IsASkipWithItsReasonElsewhere) {
  const RequireAll not_required("0");
  ::testing::TestPartResultArray results;
  {
    ::testing::ScopedFakeTestPartResultReporter fake(
        ::testing::ScopedFakeTestPartResultReporter::INTERCEPT_ONLY_CURRENT_THREAD, &results);
    cgctl::test::skip("no moon");
  }
  ASSERT_EQ(results.size(), 1);
  EXPECT_TRUE(results.GetTestPartResult(0).skipped());
  EXPECT_NE(std::string(results.GetTestPartResult(0).message()).find("no moon"), std::string::npos);
}

}  // namespace skip_test
