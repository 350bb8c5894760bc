// SPDX-FileCopyrightText: The cgctl authors
// SPDX-License-Identifier: MIT
#pragma once

#include <chrono>
#include <string>

#include "cgctl/mitigation.hpp"
#include "cgctl/recorder.hpp"
#include "mitigate/config.hpp"

namespace cgctl::tool {

/// Formats the findings of one look in Prometheus' text format.
std::string metrics_text(const mitigation::Observation& seen, const mitigation::Plan& plan,
                         const mitigation::History& history, const recorder::Ledger& ledger,
                         const Configuration& configuration,
                         std::chrono::system_clock::time_point looked);

}  // namespace cgctl::tool
