// SPDX-FileCopyrightText: The cgctl authors
// SPDX-License-Identifier: MIT
#pragma once

#include <chrono>
#include <cstdint>

namespace cgctl::zombies {

/// The time that counting directories takes.
struct DirectoryTime {
  std::chrono::nanoseconds last;  ///< of the last count
  std::chrono::nanoseconds all;   ///< of all counts since a census was last open or refused
  unsigned refusals;              ///< times that a census was refused, or closed for its cost
};

/// Returns about how long a census takes to count `all` memory cgroups, the removed ones included,
/// where the kernel runs BPF programs on demand (Linux 5.10).
inline std::chrono::nanoseconds census_time(std::uint64_t all) noexcept {
  constexpr std::int64_t each = 300;
  return std::chrono::nanoseconds(each * static_cast<std::int64_t>(all));
}

/// True if a census is faster than the directories of `live` cgroups, and if the directories have
/// taken as long as opening one does: at no time can the choice have cost twice as much as the
/// better one. Each refusal makes the next attempt sixteen times as late.
inline bool census_pays(const DirectoryTime& time, std::uint64_t live, std::uint64_t all) noexcept {
  constexpr std::int64_t opening = 50'000'000;
  constexpr std::int64_t proving_one = 15'000;
  constexpr unsigned most_refusals = 4;
  constexpr unsigned later = 4;  // a shift
  if (time.refusals > most_refusals) return false;
  const std::chrono::nanoseconds price(opening + proving_one * static_cast<std::int64_t>(live));
  return time.last > 2 * census_time(all) && time.all >= price * (1U << (later * time.refusals));
}

/// The time that counting by a census has taken.
struct CensusTime {
  std::chrono::nanoseconds fastest;  ///< of the counts so far
  unsigned counts;
};

/// True if counting `all` memory cgroups by a census takes longer than directories did: there are
/// many removed cgroups by now, or the kernel is slow, as those before Linux 5.10 are.
inline bool census_is_slow(const CensusTime& time, std::chrono::nanoseconds directories,
                           std::uint64_t all) noexcept {
  constexpr unsigned enough = 5;
  return census_time(all) > directories || (time.counts >= enough && time.fastest > directories);
}

}  // namespace cgctl::zombies
