// SPDX-FileCopyrightText: The cgctl authors
// SPDX-License-Identifier: MIT
#pragma once

#include <chrono>
#include <string>

#include "cgctl/mitigation.hpp"
#include "cgctl/names.hpp"
#include "cgctl/recorder.hpp"
#include "mitigate/config.hpp"

namespace cgctl::tool {

/// Formats the findings of one look in Prometheus' text format. A cgroup has the labels
/// `namespace`, `pod`, `container` and `unit` as far as its names are known.
std::string metrics_text(const mitigation::Observation& seen, const mitigation::Plan& plan,
                         const mitigation::History& history, const recorder::Ledger& ledger,
                         const Configuration& configuration,
                         std::chrono::system_clock::time_point looked, names::Resolver& names);

}  // namespace cgctl::tool
