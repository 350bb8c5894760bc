// SPDX-FileCopyrightText: The cgctl authors
// SPDX-License-Identifier: MIT
#pragma once

#include <chrono>
#include <string>
#include <vector>

#include "cgctl/error.hpp"
#include "cgctl/host.hpp"
#include "cgctl/mitigation_policy.hpp"

namespace cgctl::detail {

/// Runs one rung in a child process, within policy.deadline; cancelled once `stop` is readable.
/// `left` gets Action::left.
Result<std::chrono::nanoseconds> take(const Host& host, mitigation::Rung rung,
                                      const mitigation::Observation& seen,
                                      const mitigation::Policy& policy, int stop,
                                      std::vector<mitigation::Left>& left);

/// Returns the files that match Policy::files.
std::vector<std::string> files_to_advise(const mitigation::Policy& policy);

/// Runs a rung of which nothing more is to be known.
inline Result<std::chrono::nanoseconds> take(const Host& host, mitigation::Rung rung,
                                             const mitigation::Observation& seen,
                                             const mitigation::Policy& policy, int stop) {
  std::vector<mitigation::Left> left;
  return take(host, rung, seen, policy, stop, left);
}

}  // namespace cgctl::detail
