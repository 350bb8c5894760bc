// SPDX-FileCopyrightText: The cgctl authors
// SPDX-License-Identifier: MIT
#pragma once

#include <algorithm>
#include <cstdint>
#include <vector>

#include "cgctl/zombies.hpp"

namespace cgctl::detail {

/// The bytes that zombies hold, in classes by size. With an average alone, one zombie that holds
/// gigabytes would make a thousand small ones look large. Only add() allocates.
class Holdings {
 public:
  /// Adds zombies that hold `bytes` together.
  void add(std::uint64_t zombies, std::uint64_t bytes) {
    if (zombies == 0) return;
    const zombies::SizeClass added{zombies, bytes};
    classes_.insert(std::upper_bound(classes_.begin(), classes_.end(), added, is_smaller), added);
  }
  [[nodiscard]] std::uint64_t total() const noexcept {
    std::uint64_t sum = 0;
    for (const zombies::SizeClass& one : classes_) sum += one.bytes;
    return sum;
  }
  /// Returns the bytes that the smallest ones hold: any `zombies` of them hold at least as much.
  [[nodiscard]] std::uint64_t of_smallest(std::int64_t zombies) const noexcept {
    auto left = static_cast<std::uint64_t>(std::max<std::int64_t>(zombies, 0));
    std::uint64_t sum = 0;
    for (const zombies::SizeClass& one : classes_) {
      if (left < one.count) return sum + one.bytes / one.count * left;
      sum += one.bytes;
      left -= one.count;
    }
    return sum;
  }

 private:
  static bool is_smaller(const zombies::SizeClass& one, const zombies::SizeClass& other) noexcept {
    return one.bytes / one.count < other.bytes / other.count;
  }

  std::vector<zombies::SizeClass> classes_;  // by bytes of a zombie
};

}  // namespace cgctl::detail
