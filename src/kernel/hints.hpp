// SPDX-FileCopyrightText: The cgctl authors
// SPDX-License-Identifier: MIT
#pragma once

namespace cgctl::kernel {

/// The end of the hint of a census that is refused.
inline constexpr const char* without_names = "zombies are still counted, but without names";

}  // namespace cgctl::kernel
