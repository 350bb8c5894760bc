// SPDX-FileCopyrightText: The cgctl authors
// SPDX-License-Identifier: MIT
#pragma once

#include <cstdlib>

/// Stops the fuzzer, which keeps the input, unless the condition holds.
inline void require(bool holds) {
  if (!holds) std::abort();
}
