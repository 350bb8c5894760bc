// SPDX-FileCopyrightText: The cgctl authors
// SPDX-License-Identifier: MIT
#pragma once

#include <chrono>
#include <cstddef>
#include <cstdint>
#include <optional>
#include <string>
#include <vector>

#include "cgctl/error.hpp"
#include "cgctl/unique_fd.hpp"

/// Keeps the figures of a machine for seven days, a point a minute, in a file of 968 KB that never
/// grows: the file `trend` in a state directory. A point that was written only partly, because the
/// machine lost its power, is left out by its checksum; the others stay.
///
///     auto ring = cgctl::trend::Ring::open("/var/lib/agent");   // the only one who writes
///     ring->add(point);
///     auto kept = cgctl::trend::read("/var/lib/agent", now, std::chrono::hours(24));
namespace cgctl::trend {

inline constexpr std::chrono::minutes kept_for = std::chrono::hours(7 * 24);

/// The figures of one minute.
struct Point {
  std::chrono::seconds at{};  ///< since 1970; add() rounds down to the minute
  std::uint32_t zombies = 0;
  std::uint32_t live = 0;  ///< memory cgroups with a directory
  /// Cost of a read of the root's memory.numa_stat, in microseconds; 71 minutes at most.
  std::optional<std::chrono::microseconds> read_cost;
  std::uint32_t new_per_hour = 0;   ///< new zombies, smoothed
  std::uint32_t freed = 0;          ///< zombies that mitigation freed in this minute
  std::uint16_t actions = 0;        ///< mitigations in this minute
  std::uint16_t useless = 0;        ///< those without effect
  std::uint32_t maker_zombies = 0;  ///< zombies of `maker`
  std::string maker;                ///< the origin of most zombies; the last 56 bytes; may be empty
};

/// Writes the file. Not for concurrent use.
class Ring {
 public:
  /// Opens the file in a directory that only this user can write; makes it if it is missing. A file
  /// that is something else or damaged is renamed to "trend.corrupt".
  [[nodiscard]] static Result<Ring> open(const std::string& directory);

  /// Adds a point. A second one for the same minute adds its actions and keeps the dearer read; the
  /// other figures are those of the later one.
  [[nodiscard]] Status add(const Point& point) const;

  /// Returns the warning of open(), set if it renamed a file.
  [[nodiscard]] const std::string& warning() const noexcept { return warning_; }

 private:
  Ring(UniqueFd file, std::string path, std::string warning) noexcept;

  UniqueFd file_;
  std::string path_;
  std::string warning_;
};

/// The points of a file.
struct Kept {
  std::vector<Point> points;  ///< oldest first
  std::size_t damaged = 0;    ///< points left out, because their checksum is wrong
  std::size_t future =
      0;  ///< points left out, because they are later than now: the clock went back
};

/// Reads the points of the last `since`, of kept_for at most. `now` is the time since 1970. Errors:
/// ENOENT without a file, EACCES for users who may not read it, errc::malformed for another file.
[[nodiscard]] Result<Kept> read(const std::string& directory, std::chrono::seconds now,
                                std::chrono::seconds since = kept_for);

}  // namespace cgctl::trend
