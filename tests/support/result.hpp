// SPDX-FileCopyrightText: The cgctl authors
// SPDX-License-Identifier: MIT
#pragma once

#include <gtest/gtest.h>

#include <stdexcept>
#include <string>
#include <utility>

#include "cgctl/error.hpp"

namespace cgctl::test {

/// For EXPECT_TRUE(ok(result)): a failure prints the error.
template <class T>
::testing::AssertionResult ok(const tl::expected<T, Error>& result) {
  if (result) return ::testing::AssertionSuccess();
  return ::testing::AssertionFailure()
         << result.error().message() << " [" << to_string(result.error().kind) << "]";
}

/// For EXPECT_TRUE(fails(result, errc::vanished)).
template <class T>
::testing::AssertionResult fails(const tl::expected<T, Error>& result, errc kind) {
  if (result) return ::testing::AssertionFailure() << "succeeded instead of " << to_string(kind);
  if (result.error().kind == kind) return ::testing::AssertionSuccess();
  return ::testing::AssertionFailure() << to_string(result.error().kind) << " instead of "
                                       << to_string(kind) << ": " << result.error().message();
}

/// Returns the value; throws if there is none, because the test cannot go on.
template <class T>
T must(Result<T> result) {
  if (!result) throw std::runtime_error(result.error().message());
  return std::move(*result);
}

inline void must(const Status& status) {
  if (!status) throw std::runtime_error(status.error().message());
}

}  // namespace cgctl::test
