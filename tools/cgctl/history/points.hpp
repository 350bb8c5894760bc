// SPDX-FileCopyrightText: The cgctl authors
// SPDX-License-Identifier: MIT
#pragma once

#include <chrono>
#include <cstdint>
#include <string>
#include <vector>

#include "cgctl/mitigation_policy.hpp"
#include "cgctl/mitigator.hpp"
#include "cgctl/recorder.hpp"
#include "cgctl/trend.hpp"

namespace cgctl::tool {

/// Returns the point of a look of the daemon.
trend::Point point_of(const mitigation::Report& report, const mitigation::History& history,
                      const recorder::Ledger& ledger);

/// Divides the time from `from` to `to` into `count` equal parts and returns a point for each part
/// that has any. The zombies, the growth and the cost of a part are its highest, the actions its
/// sum; `at` is its beginning.
std::vector<trend::Point> coarser(const std::vector<trend::Point>& points,
                                  std::chrono::seconds from, std::chrono::seconds to,
                                  std::size_t count);

/// Returns the beginning of part `index` of `count`.
std::chrono::seconds part_of(std::chrono::seconds from, std::chrono::seconds to, std::size_t index,
                             std::size_t count);

/// Returns a time since 1970 in UTC: "2026-11-30 04:12".
std::string utc(std::chrono::seconds at);

/// Returns an SVG picture of the points: zombies, live cgroups, cost of a read and new zombies an
/// hour over time, and the actions. Readable on light and dark backgrounds.
std::string svg_of(const std::vector<trend::Point>& points, std::chrono::seconds from,
                   std::chrono::seconds to, const std::string& title);

}  // namespace cgctl::tool
