// SPDX-FileCopyrightText: The cgctl authors
// SPDX-License-Identifier: MIT
#pragma once

#include <chrono>
#include <cstdint>
#include <vector>

#include "cgctl/mitigation_policy.hpp"

namespace cgctl::detail {

/// A count of zombies and its time since the rung began.
struct Counted {
  std::chrono::nanoseconds since{};
  std::uint64_t zombies = 0;
};

/// Returns the rise in zombies per second; 0 if the number fell.
double rise(const Counted& from, const Counted& to) noexcept;

/// Follows the number of zombies after a rung. The kernel releases freed zombies within seconds,
/// while new ones may appear, so the rung freed `before + made - after`. `made` is estimated from
/// the lower of two rates: the rate before the rung, and the rate since the number stopped falling.
/// The error is about the square root of the zombies that appear per second, times the seconds.
/// Reads no clock.
class Settling {
 public:
  /// `rate` is the number of new zombies per second before the rung.
  Settling(const mitigation::Policy& policy, std::uint64_t before, double rate);

  void note(const Counted& count);
  /// True once the number of old zombies (without new ones at the rate before the rung) has not
  /// fallen for Policy::still_for. If Policy::min_effect is not reached, not before twice that time
  /// after the rung. Always true from Policy::settle_limit after the rung.
  [[nodiscard]] bool over() const noexcept;
  /// Returns the new zombies per second in the last Policy::still_for.
  [[nodiscard]] double rate() const noexcept;
  /// Returns the estimated number of new zombies since the rung began.
  [[nodiscard]] std::uint64_t made() const noexcept;
  /// Returns the last count.
  [[nodiscard]] std::uint64_t after() const noexcept { return counts_.back().zombies; }

 private:
  std::chrono::nanoseconds still_for_;
  std::chrono::nanoseconds limit_;
  double rate_before_;
  std::vector<Counted> counts_;           // never empty
  double lowest_;                         // lowest number of old zombies, see over()
  double effective_;                      // number of old zombies at which the rung is effective
  std::chrono::nanoseconds last_fall_{};  // time of the last fall, or the end of the rung
  std::chrono::nanoseconds rung_end_{};   // time of the first count after the rung
};

}  // namespace cgctl::detail
