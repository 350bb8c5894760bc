// SPDX-FileCopyrightText: The cgctl authors
// SPDX-License-Identifier: MIT
#pragma once

#include <chrono>
#include <optional>
#include <string_view>

#include "cgctl/error.hpp"
#include "cgctl/group.hpp"
#include "cgctl/host.hpp"

/// Pressure stall information (accounting/psi.rst, since Linux 4.20; per cgroup on v2 only).
namespace cgctl::pressure {

/// Shares of time in which tasks waited for the resource.
struct Line {
  double avg10 = 0;  ///< percent, 0..100, over the last 10 s
  double avg60 = 0;
  double avg300 = 0;
  /// Total waiting time since boot, or since the cgroup was made.
  std::chrono::microseconds total{};
};

struct Pressure {
  Line some;  ///< at least one task waited
  /// All non-idle tasks waited; absent for the system's cpu before Linux 5.13.
  std::optional<Line> full;
  std::size_t skipped_lines = 0;  ///< lines left out, not of the documented form
};

enum class Resource { cpu, io, memory };

std::string_view to_string(Resource resource) noexcept;

/// Parses a pressure file. Lines without the documented form are skipped and counted.
/// errc::malformed if the "some" line was skipped, errc::truncated if it is missing.
[[nodiscard]] Result<Pressure> parse(std::string_view text);

/// Reads the pressure of the whole machine from /proc/pressure. errc::unsupported if PSI is not
/// built in or not enabled (CONFIG_PSI_DEFAULT_DISABLED: boot with psi=1).
[[nodiscard]] Result<Pressure> read(const Host& host, Resource resource);

/// Reads the pressure of one cgroup.
[[nodiscard]] Result<Pressure> read(const Group& group, Resource resource);

}  // namespace cgctl::pressure
