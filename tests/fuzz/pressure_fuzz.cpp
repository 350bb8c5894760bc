// SPDX-FileCopyrightText: The cgctl authors
// SPDX-License-Identifier: MIT
#include <cmath>

#include "cgctl/pressure.hpp"
#include "require.hpp"

namespace {

void check(const cgctl::pressure::Line& line) {
  for (const double share : {line.avg10, line.avg60, line.avg300})
    require(std::isfinite(share) && share >= 0);
  require(line.total.count() >= 0);
}

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  const std::string_view text(reinterpret_cast<const char*>(data), size);
  const auto pressure = cgctl::pressure::parse(text);
  if (!pressure) return 0;
  require(text.find("some") != std::string_view::npos);
  check(pressure->some);
  if (pressure->full) {
    require(text.find("full") != std::string_view::npos);
    check(*pressure->full);
  }
  return 0;
}
