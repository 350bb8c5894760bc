// SPDX-FileCopyrightText: The cgctl authors
// SPDX-License-Identifier: MIT
#pragma once

#include <chrono>
#include <optional>
#include <string>
#include <string_view>

#include "cgctl/mitigation_policy.hpp"

namespace cgctl::detail {

/// The time at which a history is written or read.
struct Moment {
  std::string boot_id;
  std::chrono::seconds uptime{};      ///< CLOCK_BOOTTIME
  std::chrono::seconds since_1970{};  ///< CLOCK_REALTIME
};

/// Returns the present moment.
Moment moment(std::string boot_id);

/// Formats a history: one line for each item; the last line is a checksum of the others.
std::string to_text(const mitigation::History& history, const Moment& written);

/// Parses the text of to_text(). Returns nothing if the text has another form, is not complete, or
/// lies in the future. A history of another boot is translated: actions keep their age by the wall
/// clock (no time has passed if that went backwards), counters stay, and items that depend on the
/// running kernel are dropped.
std::optional<mitigation::History> history_from_text(std::string_view text, const Moment& now);

}  // namespace cgctl::detail
