// SPDX-FileCopyrightText: The cgctl authors
// SPDX-License-Identifier: MIT
#pragma once

#include <chrono>
#include <optional>
#include <string_view>

namespace cgctl::tool {

/// Tells the service manager, as sd_notify(3) describes: "READY=1", "STATUS=...". Does nothing
/// without NOTIFY_SOCKET, and does not mind failing.
void notify(std::string_view state);

/// The time within which the service manager wants to hear WATCHDOG=1, as sd_watchdog_enabled(3)
/// describes.
std::optional<std::chrono::microseconds> watchdog_time();

}  // namespace cgctl::tool
