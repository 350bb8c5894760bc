// SPDX-FileCopyrightText: The cgctl authors
// SPDX-License-Identifier: MIT
#pragma once

#include <gtest/gtest.h>

#include <algorithm>
#include <cstddef>
#include <filesystem>
#include <random>
#include <string>
#include <system_error>
#include <vector>

namespace cgctl::test {

/// Creates and removes directories below `top` at random, with mkdir(2) and rmdir(2) only, and
/// knows their number. Names are used again.
class RandomTree {
 public:
  RandomTree(std::filesystem::path top, unsigned seed) : top_(std::move(top)), random_(seed) {}

  /// Returns the number of directories, `top` included.
  [[nodiscard]] std::size_t size() const noexcept { return 1 + made_.size(); }

  void change() {
    if (made_.empty() || below(100) < 55) {
      add();
    } else {
      remove(made_[below(made_.size())]);
    }
  }

 private:
  static constexpr std::size_t most = 60;
  static constexpr std::ptrdiff_t deepest = 4;

  std::size_t below(std::size_t end) {
    return std::uniform_int_distribution<std::size_t>(0, end - 1)(random_);
  }

  void add() {
    const std::size_t at = below(made_.size() + 1);
    const std::filesystem::path parent = at == made_.size() ? std::filesystem::path() : made_[at];
    if (made_.size() >= most || std::distance(parent.begin(), parent.end()) >= deepest) return;
    const auto path = parent / ("d" + std::to_string(below(6)));
    if (std::find(made_.begin(), made_.end(), path) != made_.end()) return;
    std::error_code error;
    EXPECT_TRUE(std::filesystem::create_directory(top_ / path, error)) << path << error.message();
    made_.push_back(path);
  }

  /// Removes a directory and all directories below it.
  void remove(const std::filesystem::path& first) {
    std::vector<std::filesystem::path> doomed;
    for (const auto& path : made_) {
      const auto [end, rest] = std::mismatch(first.begin(), first.end(), path.begin(), path.end());
      if (end == first.end()) doomed.push_back(path);
    }
    std::sort(doomed.rbegin(), doomed.rend());
    for (const auto& path : doomed) {
      std::error_code error;
      EXPECT_TRUE(std::filesystem::remove(top_ / path, error)) << path << error.message();
      made_.erase(std::find(made_.begin(), made_.end(), path));
    }
  }

  std::filesystem::path top_;
  std::vector<std::filesystem::path> made_;
  std::mt19937 random_;
};

}  // namespace cgctl::test
