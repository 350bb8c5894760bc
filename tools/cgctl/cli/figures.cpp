// SPDX-FileCopyrightText: The cgctl authors
// SPDX-License-Identifier: MIT
#include "cli/figures.hpp"

#include <fmt/format.h>

namespace cgctl::tool {
namespace {

Json json_of(const pressure::Line& line) {
  return {{"avg10", line.avg10},
          {"avg60", line.avg60},
          {"avg300", line.avg300},
          {"total_us", line.total.count()}};
}

}  // namespace

Json pressure_json(const std::optional<pressure::Pressure>& pressure) {
  if (!pressure) return nullptr;
  return {{"some", json_of(pressure->some)},
          {"full", pressure->full ? json_of(*pressure->full) : Json(nullptr)}};
}

std::string pressure_text(const pressure::Pressure& pressure) {
  std::string text = fmt::format("some {:.3g}%", pressure.some.avg10);
  if (pressure.full) text += fmt::format(", full {:.3g}%", pressure.full->avg10);
  return text + " of the last 10 s";
}

std::string skipped_text(std::size_t lines) {
  return lines == 0 ? "" : fmt::format("  skipped lines of unknown form: {}\n", lines);
}

}  // namespace cgctl::tool
