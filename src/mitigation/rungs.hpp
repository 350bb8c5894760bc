// SPDX-FileCopyrightText: The cgctl authors
// SPDX-License-Identifier: MIT
#pragma once

#include <chrono>
#include <string>

#include "cgctl/error.hpp"
#include "cgctl/host.hpp"
#include "cgctl/mitigation_policy.hpp"

namespace cgctl::detail {

/// Takes one rung, isolated, within policy.deadline; given up when `stop` becomes readable.
Result<std::chrono::nanoseconds> take(const Host& host, mitigation::Rung rung,
                                      const mitigation::Observation& seen,
                                      const mitigation::Policy& policy, int stop);

/// Where Alibaba's kernels take the order to reap zombies.
std::string reaper_path(const Host& host);

}  // namespace cgctl::detail
