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

/// The share of time in which tasks waited for the resource.
struct Line {
  double avg10 = 0;  ///< percent, 0..100, over the last 10 s
  double avg60 = 0;
  double avg300 = 0;
  std::chrono::microseconds total{};  ///< since boot, or since the cgroup was made
};

struct Pressure {
  Line some;  ///< at least one task waited
  std::optional<Line>
      full;  ///< all non-idle tasks waited; absent for the system's cpu before Linux 5.13
  std::size_t skipped_lines = 0;  ///< left out, not of the documented form
};

enum class Resource { cpu, io, memory };

std::string_view to_string(Resource resource) noexcept;

/// A line that is not of the documented form is skipped and counted. errc::malformed when that was
/// the "some" line, errc::truncated when there is none.
[[nodiscard]] Result<Pressure> parse(std::string_view text);

/// Of the whole machine, from /proc/pressure. errc::unsupported where PSI is not built in or not
/// enabled (CONFIG_PSI_DEFAULT_DISABLED: boot with psi=1).
[[nodiscard]] Result<Pressure> read(const Host& host, Resource resource);

/// Of one cgroup.
[[nodiscard]] Result<Pressure> read(const Group& group, Resource resource);

}  // namespace cgctl::pressure
