// SPDX-FileCopyrightText: The cgctl authors
// SPDX-License-Identifier: MIT
#pragma once

#include <string>
#include <vector>

#include "cgctl/holds.hpp"
#include "cgctl/peers.hpp"

namespace cgctl::tool::doctor_command {

/// Times of CLOCK_MONOTONIC to draw.
struct Timeline {
  std::string title;
  holds::Time start{};
  holds::Time end{};
  std::vector<holds::Hold> holds;
  std::vector<holds::Wait> waits;
  /// Segments that TCP sent again; the row is left out if they were not
  /// counted.
  std::optional<std::vector<peers::Burst>> bursts;
  std::vector<std::string> notes;  ///< below the picture; at most 20 lines are drawn
};

/// Returns an SVG picture: one time axis, a row for each CPU with holds or
/// waits, and a row of segments sent again. Readable on light and dark
/// backgrounds. At most 32 CPUs are drawn, those that were held longest; marks
/// closer than two pixels become one. Thus the picture has at most 5 MB for any
/// number of holds.
std::string svg_of(const Timeline& timeline);

}  // namespace cgctl::tool::doctor_command
