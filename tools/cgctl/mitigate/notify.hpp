// SPDX-FileCopyrightText: The cgctl authors
// SPDX-License-Identifier: MIT
#pragma once

#include <chrono>
#include <optional>
#include <string_view>

namespace cgctl::tool {

/// Sends a state such as "READY=1" or "STATUS=..." to the service manager, see sd_notify(3). Does
/// nothing without NOTIFY_SOCKET; ignores errors.
void notify(std::string_view state);

/// Returns the time within which the service manager expects WATCHDOG=1, see
/// sd_watchdog_enabled(3).
std::optional<std::chrono::microseconds> watchdog_time();

}  // namespace cgctl::tool
