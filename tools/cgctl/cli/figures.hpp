// SPDX-FileCopyrightText: The cgctl authors
// SPDX-License-Identifier: MIT
#pragma once

#include <optional>
#include <string>
#include <utility>

#include "cgctl/error.hpp"
#include "cgctl/pressure.hpp"
#include "cli/command.hpp"
#include "cli/json.hpp"

/// Formats of figures that several commands show.
namespace cgctl::tool {

/// Returns {"some": {"avg10", ..., "total_us"}, "full": {...} or null}; null without a pressure.
Json pressure_json(const std::optional<pressure::Pressure>& pressure);
/// Returns "some 1.5%, full 0.2% of the last 10 s".
std::string pressure_text(const pressure::Pressure& pressure);
/// Returns the line of a report about lines that were not understood; empty if there were none.
std::string skipped_text(std::size_t lines);

/// Returns a figure, or nothing with a warning. Gives no warning if this kernel, mount or cgroup
/// lacks the figure.
template <class T>
std::optional<T> value_or_warning(Result<T> result) {
  if (result) return std::move(*result);
  if (result.error().kind != errc::unsupported) warn(message_of(result.error()));
  return std::nullopt;
}

}  // namespace cgctl::tool
