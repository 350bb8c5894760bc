// SPDX-FileCopyrightText: The cgctl authors
// SPDX-License-Identifier: MIT
#pragma once

#include <string>
#include <string_view>

#include "cgctl/host.hpp"

namespace cgctl::detail {

/// Says what `version` has in place of a file of the other version; empty where that is not known.
std::string counterpart_hint(std::string_view file, Version version);

}  // namespace cgctl::detail
