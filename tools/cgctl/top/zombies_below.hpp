// SPDX-FileCopyrightText: The cgctl authors
// SPDX-License-Identifier: MIT
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "cgctl/census.hpp"
#include "cgctl/error.hpp"
#include "cgctl/host.hpp"
#include "cgctl/zombies.hpp"
#include "top/rows.hpp"

namespace cgctl::tool::top_command {

/// Counts the zombies below the cgroups of v1, whose files do not tell them. A census knows them
/// for each cgroup; without one, the difference of two numbers is that of the root.
class ZombiesBelow {
 public:
  explicit ZombiesBelow(const Host& host) : host_(host) {}

  /// Returns the number below a cgroup; NaN where it is not known. Counts again after 2 s, or later
  /// where counting would take more than 4 % of the time.
  [[nodiscard]] double of(std::string_view path);
  /// Returns the first reason why a number is not known, unless the kernel does not tell it.
  [[nodiscard]] const std::optional<Error>& failure() const noexcept { return failure_; }

 private:
  void count();
  void note(const Error& error);
  [[nodiscard]] bool count_by_census();

  Host host_;
  std::optional<census::Census> census_;
  std::optional<zombies::Counter> counter_;
  std::optional<Error> failure_;
  bool opened_ = false;
  census::Snapshot snapshot_;
  std::vector<std::pair<std::string, std::uint64_t>> counts_;  // sorted; those above 0
  double root_ = NAN;
  bool all_known_ = false;
  Clock::time_point counted_at_;
  Clock::duration counting_{};
};

}  // namespace cgctl::tool::top_command
