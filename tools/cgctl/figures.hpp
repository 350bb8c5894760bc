// SPDX-FileCopyrightText: The cgctl authors
// SPDX-License-Identifier: MIT
#pragma once

#include <optional>
#include <string>

#include "cgctl/pressure.hpp"
#include "json.hpp"

/// Figures that more than one command shows.
namespace cgctl::tool {

/// {"some": {"avg10", ..., "total_us"}, "full": {...} or null}, or null.
Json pressure_json(const std::optional<pressure::Pressure>& pressure);
/// "some 1.5% full 0.2% of the last 10 s"
std::string pressure_text(const pressure::Pressure& pressure);

}  // namespace cgctl::tool
