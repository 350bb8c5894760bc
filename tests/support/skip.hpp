// SPDX-FileCopyrightText: The cgctl authors
// SPDX-License-Identifier: MIT
#pragma once

#include <gtest/gtest.h>
#include <unistd.h>

#include <cstdlib>
#include <string>

namespace cgctl::test {

/// Ends a test that cannot run here: `return skip("no swap");`. With CGCTL_REQUIRE_ALL=1 in the
/// environment, set where every test must run, the test fails instead.
inline void skip(const std::string& reason) {
  const char* const all = std::getenv("CGCTL_REQUIRE_ALL");
  if (all != nullptr && std::string(all) == "1") {
    FAIL() << "cannot run here, and CGCTL_REQUIRE_ALL=1: " << reason;
  }
  GTEST_SKIP() << reason;
}

inline bool is_root() { return ::geteuid() == 0; }

}  // namespace cgctl::test
