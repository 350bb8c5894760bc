// SPDX-FileCopyrightText: The cgctl authors
// SPDX-License-Identifier: MIT
#pragma once

#include <string>
#include <vector>

namespace cgctl::faults {

/// Returns the errors that the suite tries on a call.
[[nodiscard]] std::vector<int> errors_of(const std::string& call);

[[nodiscard]] std::string name_of(int error);

}  // namespace cgctl::faults
