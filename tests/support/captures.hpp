// SPDX-FileCopyrightText: The cgctl authors
// SPDX-License-Identifier: MIT
#pragma once

#include <gtest/gtest.h>

#include <cctype>
#include <cstdlib>
#include <filesystem>
#include <string>
#include <string_view>

#include "cgctl/host.hpp"
#include "result.hpp"
#include "temp_directory.hpp"

namespace cgctl::test {

/// Returns the directory of the captured trees, which are read-only; CapturedMachine makes a copy
/// that may be changed. CGCTL_CAPTURES in the environment replaces the directory, for machines that
/// did not build the tests.
inline std::filesystem::path captures() {
  const char* const elsewhere = std::getenv("CGCTL_CAPTURES");
  return elsewhere != nullptr ? elsewhere : CGCTL_CAPTURES;
}

/// Returns the roots of a tree that holds every file at its real path.
inline Roots roots_of(const std::filesystem::path& tree) {
  return {tree / "sys/fs/cgroup", tree / "proc", tree / "sys"};
}

/// Returns the host of a captured tree, such as "linux-5.4-v1-numa2/2-zombies".
inline Host captured(std::string_view tree) {
  return must(Host::detect(roots_of(captures() / tree)));
}

/// Returns the text of a captured file.
inline std::string captured_text(std::string_view file) {
  std::string text = file_text(captures() / file);
  EXPECT_FALSE(text.empty()) << file;
  return text;
}

/// Names the instances of a parametrized test by their member `tree`.
struct ByTree {
  template <class Param>
  std::string operator()(const ::testing::TestParamInfo<Param>& instance) const {
    std::string name = instance.param.tree;
    for (char& c : name) {
      if (std::isalnum(static_cast<unsigned char>(c)) == 0) c = '_';
    }
    return name;
  }
};

}  // namespace cgctl::test
