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

/// Returns the zombies a second by which the number rose; 0 when it fell.
double rise(const Counted& from, const Counted& to) noexcept;

/// Follows the number of zombies after a rung, while cgroups may go on dying. The kernel lets go of
/// what was freed within seconds, all the while new zombies come: what the rung freed is
/// `before + made - after`. How many were made is an estimate: as many as came by the lower of two
/// rates, the one before the rung and the one since the number stopped falling. Its error is about
/// the square root of the zombies that come in a second, times the seconds. Pure: reads no clock.
class Settling {
 public:
  /// `rate`: zombies a second that came before the rung.
  Settling(const mitigation::Policy& policy, std::uint64_t before, double rate);

  void note(const Counted& count);
  /// True once the number, less what comes at the rate before, has not fallen for
  /// Policy::still_for; not before twice that time after the rung unless Policy::min_effect is
  /// reached, and always at Policy::settle_limit after the rung.
  [[nodiscard]] bool over() const noexcept;
  /// Returns the zombies a second that came in the last Policy::still_for.
  [[nodiscard]] double rate() const noexcept;
  /// Returns the zombies that came since the rung began.
  [[nodiscard]] std::uint64_t made() const noexcept;
  /// Returns the last count.
  [[nodiscard]] std::uint64_t after() const noexcept { return counts_.back().zombies; }

 private:
  std::chrono::nanoseconds still_for_;
  std::chrono::nanoseconds limit_;
  double rate_before_;
  std::vector<Counted> counts_;           // never empty
  double lowest_;                         // of the number less what came at rate_before_
  double effective_;                      // as low as that the rung was effective
  std::chrono::nanoseconds last_fall_{};  // or the end of the rung
  std::chrono::nanoseconds rung_end_{};   // the first count after it
};

}  // namespace cgctl::detail
