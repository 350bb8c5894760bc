// SPDX-FileCopyrightText: The cgctl authors
// SPDX-License-Identifier: MIT
#include "mitigation/settling.hpp"

#include <algorithm>
#include <cmath>
#include <iterator>

namespace cgctl::detail {
namespace {

double in_seconds(std::chrono::nanoseconds time) {
  return std::chrono::duration<double>(time).count();
}

/// A fall by less than this share of the zombies counts as noise.
constexpr double noise = 0.01;

}  // namespace

double rise(const Counted& from, const Counted& to) noexcept {
  if (to.zombies <= from.zombies || to.since <= from.since) return 0;
  return static_cast<double>(to.zombies - from.zombies) / in_seconds(to.since - from.since);
}

Settling::Settling(const mitigation::Policy& policy, std::uint64_t before, double rate)
    : still_for_(policy.still_for),
      limit_(policy.settle_limit),
      rate_before_(rate),
      counts_{{{}, before}},
      lowest_(static_cast<double>(before)),
      effective_(lowest_ * (1 - policy.min_effect)) {}

void Settling::note(const Counted& count) {
  if (counts_.size() == 1) rung_end_ = last_fall_ = count.since;
  counts_.push_back(count);
  const double old_ones =
      static_cast<double>(count.zombies) - rate_before_ * in_seconds(count.since);
  const double noticeable = std::max(1.0, noise * static_cast<double>(counts_.front().zombies));
  if (old_ones > lowest_ - noticeable) return;
  lowest_ = old_ones;
  last_fall_ = count.since;
}

bool Settling::over() const noexcept {
  const auto since = counts_.back().since;
  if (since - rung_end_ >= limit_) return true;
  const bool can_still_begin = lowest_ > effective_ && since - rung_end_ < 2 * still_for_;
  return since - last_fall_ >= still_for_ && !can_still_begin;
}

double Settling::rate() const noexcept {
  const Counted& last = counts_.back();
  const auto later = std::find_if(counts_.begin(), counts_.end(), [&](const Counted& count) {
    return last.since - count.since < still_for_;
  });
  return rise(later == counts_.begin() ? *later : *std::prev(later), last);
}

std::uint64_t Settling::made() const noexcept {
  const double came = std::min(rate_before_, rate()) * in_seconds(counts_.back().since);
  return static_cast<std::uint64_t>(std::llround(came));
}

}  // namespace cgctl::detail
