// SPDX-FileCopyrightText: The cgctl authors
// SPDX-License-Identifier: MIT
#pragma once

#include <chrono>
#include <cstdint>

#include "cgctl/error.hpp"
#include "cgctl/host.hpp"
#include "cgctl/unique_fd.hpp"

namespace cgctl::detail {

/// Estimates the zombies left while a rung works, by one small file: v1's /proc/cgroups, whose
/// number of memory cgroups falls with each zombie freed, or v2's cgroup.stat. Cgroups that are
/// made meanwhile make the estimate too high. Usable in an isolated child.
class KernelCount {
 public:
  /// Counts the machine's zombies; `zombies` is their number now.
  [[nodiscard]] static Result<KernelCount> open(const Host& host, std::uint64_t zombies);
  /// Counts the zombies below a cgroup of v2, whose cgroup.stat is given.
  explicit KernelCount(UniqueFd stat) noexcept;

  /// Returns the zombies left; the last number if the file cannot be read.
  [[nodiscard]] std::int64_t left() noexcept;
  /// Waits until their number has not fallen for a tenth of `still_for` (Policy::still_for), and
  /// for three tenths as long as none is gone; at most for `still_for`. Returns it.
  [[nodiscard]] std::int64_t settle(std::chrono::nanoseconds still_for) noexcept;

 private:
  KernelCount(UniqueFd file, bool v2) noexcept : file_(std::move(file)), v2_(v2) {}
  [[nodiscard]] std::int64_t read() const noexcept;

  UniqueFd file_;
  bool v2_;
  std::int64_t above_ = 0;  // the file's number less that of the zombies
  std::int64_t last_ = 0;
};

}  // namespace cgctl::detail
