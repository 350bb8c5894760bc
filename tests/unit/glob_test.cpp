// SPDX-FileCopyrightText: The cgctl authors
// SPDX-License-Identifier: MIT
#include "detail/glob.hpp"

#include <glob.h>
#include <gtest/gtest.h>

#include <algorithm>
#include <filesystem>
#include <fstream>

#include "../support/temp_directory.hpp"

namespace glob_unit_test {

using cgctl::detail::files_matching;

std::vector<std::string> sorted(std::vector<std::string> names) {
  std::sort(names.begin(), names.end());
  return names;
}

/// Returns what the C library finds.
std::vector<std::string> expected(const std::string& pattern) {
  ::glob_t found{};
  std::vector<std::string> names;
  if (::glob(pattern.c_str(), GLOB_NOSORT, nullptr, &found) == 0) {
    names.assign(found.gl_pathv, found.gl_pathv + found.gl_pathc);
  }
  ::globfree(&found);
  return sorted(std::move(names));
}

class Glob : public ::testing::TestWithParam<const char*> {
 protected:
  void SetUp() override {
    for (const char* name : {"a/x.log", "a/y.log.1", "b/x.log", "b/.hidden.log", "a b/star*.log",
                             "b/deep/er/x.log", ".dot/x.log"}) {
      std::filesystem::create_directories((top_ / name).substr(0, (top_ / name).rfind('/')));
      std::ofstream(top_ / name) << "x";
    }
    std::filesystem::create_symlink("nowhere", top_ / "a/dangling.log");
  }

  cgctl::test::TempDirectory top_;
};

TEST_P(Glob, FindsTheFilesThatTheCLibraryFinds) {
  const std::string pattern = top_ / GetParam();
  EXPECT_EQ(sorted(files_matching(pattern)), expected(pattern));
}

INSTANTIATE_TEST_SUITE_P(Patterns, Glob,
                         ::testing::Values("*/*.log", "a/x.log", "a/none", "*/x.log", "[ab]/*",
                                           "*/.*", ".*/x.log", "a*/star\\*.log", "a/?.log*", "*",
                                           "*/", "a//*.log", "b/*/*/x.log", "none/*", "a/x.log/*",
                                           "[!a]/x.log", "a\\ b/star*", "a/["));

TEST(EmptyGlob, MatchesNothing) { EXPECT_TRUE(files_matching("").empty()); }

}  // namespace glob_unit_test
