// SPDX-FileCopyrightText: The cgctl authors
// SPDX-License-Identifier: MIT
#pragma once

#include <algorithm>
#include <cstdint>
#include <utility>

#include "cgctl/mitigation_policy.hpp"
#include "mitigation/holdings.hpp"

namespace cgctl::detail {

/// Returns `percent` of some bytes.
inline std::uint64_t share_of(std::uint64_t bytes, double percent) noexcept {
  constexpr double all = 100;
  return static_cast<std::uint64_t>(static_cast<double>(bytes) * percent / all);
}

/// True for the rungs that take memory in steps.
constexpr bool takes_steps(mitigation::Rung rung) noexcept {
  using mitigation::Rung;
  return rung == Rung::squeeze || rung == Rung::node_reclaim || rung == Rung::reclaim;
}

/// True if Policy::cache_loss forbids the rung: its first page may be a live cgroup's.
inline bool forbidden_by_loss(const mitigation::Policy& policy, mitigation::Rung rung) noexcept {
  return takes_steps(rung) && policy.cache_loss <= 0;
}

/// Decides whether a rung that takes memory in steps takes another one, and how many bytes. Steps
/// of next to no use end it, and a loss of live memory above the limit. Only computes, so that an
/// isolated child can use it.
///
/// A step begins with the live cgroups again, because the kernel forgets where it was once the
/// cgroup of its last page is gone. So there are few steps: small ones until zombies go; then each
/// may be a few times the last one, up to all that the other zombies hold.
class Steps {
 public:
  struct Limits {
    std::uint64_t step = 0;  ///< bytes of a step that may be of no use
    std::uint64_t loss = 0;  ///< bytes of live memory that all steps together may take
    Holdings held;           ///< what goes with the zombies within reach, not lost by anybody
  };
  /// Returns the limits for a rung that takes page cache from cgroups with `cache` bytes of it.
  /// `held` is the part of it that zombies hold. One pass of the kernel takes at least 1/4096 of a
  /// long list of each live cgroup.
  static Limits limits_for(const mitigation::Policy& policy, std::uint64_t cache, Holdings held) {
    constexpr std::uint64_t steps = 16;
    const std::uint64_t loss = share_of(cache, policy.cache_loss);
    return {std::max(policy.first_step, loss / steps), loss, std::move(held)};
  }
  /// Fewest bytes of a step.
  static constexpr std::uint64_t least = std::uint64_t{64} << 10;

  /// `limits` must outlive this object.
  Steps(const Limits& limits, std::int64_t zombies) noexcept
      : limits_(limits), first_(zombies), last_(zombies) {}

  /// Notes a step that took `bytes` and left `zombies` zombies.
  void note(std::uint64_t bytes, std::int64_t zombies) noexcept {
    constexpr std::uint64_t trace = 32;
    const std::uint64_t before = freed();
    taken_ += bytes;
    took_ = bytes;
    last_ = zombies;
    const std::uint64_t gone = freed() - std::min(freed(), before);
    idle_ = gone > bytes / trace ? 0 : idle_ + 1;
    begun_ = begun_ || idle_ == 0;
    worthwhile_ = gone > bytes / 4;
  }
  [[nodiscard]] bool go_on() const noexcept {
    const unsigned patience = begun_ ? patience_at_end : patience_at_first;
    // A step may take more than it was asked for.
    return last_ > 0 && idle_ < patience && lost() + limits_.step / 4 < limits_.loss;
  }
  /// Returns the bytes of the next step.
  [[nodiscard]] std::uint64_t next() const noexcept {
    const std::uint64_t left = limits_.loss - std::min(limits_.loss, lost());
    const std::uint64_t risked = begun_ && idle_ != 0 ? limits_.step / 2 : limits_.step;
    return std::max(least, (worthwhile_ ? expected() : 0) + std::min(risked, left));
  }
  /// Returns the bytes that live cgroups lost at most.
  [[nodiscard]] std::uint64_t lost() const noexcept { return taken_ - std::min(taken_, freed()); }
  [[nodiscard]] bool freed_any() const noexcept { return last_ < first_; }

 private:
  /// The kernel may take a whole step from live cgroups before it comes to the first zombie, and it
  /// skips a recently used page once.
  static constexpr unsigned patience_at_first = 4;
  static constexpr unsigned patience_at_end = 2;

  /// Returns the bytes that went with the zombies, at least.
  [[nodiscard]] std::uint64_t freed() const noexcept {
    return limits_.held.of_smallest(first_ - last_);
  }
  /// Returns the bytes of zombies that a step may come to. The number of zombies is the machine's:
  /// others may be out of reach, or new.
  [[nodiscard]] std::uint64_t expected() const noexcept {
    constexpr std::uint64_t growth = 4;
    return std::min(limits_.held.total() - freed(), growth * std::max(took_, limits_.step));
  }

  const Limits& limits_;
  std::int64_t first_;
  std::int64_t last_;
  std::uint64_t taken_ = 0;
  std::uint64_t took_ = 0;  // by the last step
  unsigned idle_ = 0;
  bool begun_ = false;       // a step was of use; a zombie that goes by itself is no beginning
  bool worthwhile_ = false;  // a quarter of the last step was zombies'
};

}  // namespace cgctl::detail
