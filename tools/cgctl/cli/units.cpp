// SPDX-FileCopyrightText: The cgctl authors
// SPDX-License-Identifier: MIT
#include "cli/units.hpp"

#include <fmt/format.h>

#include <array>
#include <cstddef>

namespace cgctl::tool {
namespace {

/// The value in the first unit in which it has three digits at most before the point.
template <std::size_t N>
std::string scaled(double value, double step, const std::array<const char*, N>& units) {
  std::size_t unit = 0;
  for (; value >= 999.5 && unit + 1 < N; ++unit) value /= step;
  return fmt::format("{:.{}g} {}", value, value < 999.5 ? 3 : 15, units[unit]);
}

}  // namespace

std::string human_bytes(std::uint64_t bytes) {
  constexpr std::array units = {"B", "KiB", "MiB", "GiB", "TiB", "PiB", "EiB"};
  return scaled(static_cast<double>(bytes), 1024, units);
}

std::string human_time(std::chrono::nanoseconds time) {
  if (time.count() <= 0) return "0 s";
  constexpr std::array units = {"ns", "us", "ms", "s"};
  const auto seconds = std::chrono::duration<double>(time).count();
  if (seconds >= 2 * 3600) return fmt::format("{:.3g} h", seconds / 3600);
  if (seconds >= 2 * 60) return fmt::format("{:.3g} min", seconds / 60);
  return scaled(static_cast<double>(time.count()), 1000, units);
}

}  // namespace cgctl::tool
