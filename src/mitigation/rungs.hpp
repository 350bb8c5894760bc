// SPDX-FileCopyrightText: The cgctl authors
// SPDX-License-Identifier: MIT
#pragma once

#include <chrono>

#include "cgctl/error.hpp"
#include "cgctl/host.hpp"
#include "cgctl/mitigation_policy.hpp"

namespace cgctl::detail {

/// Runs one rung in a child process, within policy.deadline; cancelled once `stop` is readable.
Result<std::chrono::nanoseconds> take(const Host& host, mitigation::Rung rung,
                                      const mitigation::Observation& seen,
                                      const mitigation::Policy& policy, int stop);

}  // namespace cgctl::detail
