// SPDX-FileCopyrightText: The cgctl authors
// SPDX-License-Identifier: MIT
#pragma once

#include <chrono>
#include <optional>
#include <string>
#include <string_view>

#include "cgctl/mitigation_policy.hpp"

namespace cgctl::detail {

/// When a history is written or read.
struct Moment {
  std::string boot_id;
  std::chrono::seconds uptime{};      ///< CLOCK_BOOTTIME
  std::chrono::seconds since_1970{};  ///< CLOCK_REALTIME
};

/// Now.
Moment moment(std::string boot_id);

/// One line for each thing remembered, the last one a checksum of the others.
std::string to_text(const mitigation::History& history, const Moment& written);

/// Nothing where it is not what to_text() writes, not whole, or of the future. What was written in
/// another boot is translated: actions keep their distance by the wall clock (by none, when that
/// went backwards), counters stay, and what depends on the running kernel is forgotten.
std::optional<mitigation::History> history_from_text(std::string_view text, const Moment& now);

}  // namespace cgctl::detail
