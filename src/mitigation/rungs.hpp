// SPDX-FileCopyrightText: The cgctl authors
// SPDX-License-Identifier: MIT
#pragma once

#include <chrono>
#include <cstdint>
#include <string>

#include "cgctl/error.hpp"
#include "cgctl/host.hpp"
#include "cgctl/mitigation_policy.hpp"
#include "cgctl/unique_fd.hpp"

namespace cgctl::detail {

/// Runs one rung in a child process, within policy.deadline; cancelled once `stop` is readable.
Result<std::chrono::nanoseconds> take(const Host& host, mitigation::Rung rung,
                                      const mitigation::Observation& seen,
                                      const mitigation::Policy& policy, int stop);

/// Opens the control file `path` below `root` for writing. errc::outside if it is not of the file
/// system `magic`.
Result<UniqueFd> open_control(const char* what, const std::string& root, const char* path,
                              std::int64_t magic);

}  // namespace cgctl::detail
