// SPDX-FileCopyrightText: The cgctl authors
// SPDX-License-Identifier: MIT
#pragma once

#include <chrono>
#include <string>

#include "cgctl/error.hpp"
#include "cgctl/mitigation.hpp"
#include "config.hpp"

namespace cgctl::tool {

/// What one look found, in Prometheus' text format.
std::string metrics_text(const mitigation::Observation& seen, const mitigation::Plan& plan,
                         const mitigation::History& history, const Configuration& configuration,
                         std::chrono::system_clock::time_point looked);

/// Replaces the file at once, so that no reader ever sees half of it.
Status write_metrics(const std::string& path, const std::string& text);

}  // namespace cgctl::tool
