// SPDX-FileCopyrightText: The cgctl authors
// SPDX-License-Identifier: MIT
#pragma once

#include "cli/command.hpp"
#include "mitigate/config.hpp"

namespace cgctl::tool {

/// Runs `cgctl mitigate --daemon` until SIGTERM or SIGINT. A second thread does the work, so that
/// signals, the watchdog and metrics are served meanwhile.
Exit run_daemon(const Globals& globals, const Host& host, const Overrides& overrides);

}  // namespace cgctl::tool
