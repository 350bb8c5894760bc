// SPDX-FileCopyrightText: The cgctl authors
// SPDX-License-Identifier: MIT
#pragma once

#include <vector>

#include "cgctl/holds.hpp"

namespace cgctl::holds {

/// Adds up the holds of tasks of one name, in one cgroup, for one cause. Does not allocate after
/// its construction.
class Totals {
 public:
  Totals();

  /// Adds a hold; `counts` is false for a short one.
  void add(const Hold& hold, bool counts) noexcept;
  /// Returns the totals, largest first. The one of all others comes last.
  [[nodiscard]] std::vector<Total> sorted() const;

 private:
  [[nodiscard]] Total& place_for(const Task& task) noexcept;

  std::vector<Total> totals_;
  Total others_;
};

}  // namespace cgctl::holds
