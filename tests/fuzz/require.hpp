// SPDX-FileCopyrightText: The cgctl authors
// SPDX-License-Identifier: MIT
#pragma once

#include <cstdlib>

/// What must hold for every input; else the fuzzer keeps the input as a find.
inline void require(bool holds) {
  if (!holds) std::abort();
}
