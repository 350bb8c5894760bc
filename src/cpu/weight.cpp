// SPDX-FileCopyrightText: The cgctl authors
// SPDX-License-Identifier: MIT
#include <algorithm>
#include <array>
#include <cmath>
#include <utility>

#include "cgctl/cpu.hpp"
#include "cpu/plan.hpp"

namespace cgctl::cpu {
namespace {

constexpr std::uint64_t least_shares = 2;
constexpr std::uint64_t most_shares = 262144;
using detail::most_weight;

constexpr std::array<std::pair<Conversion, std::string_view>, 4> names = {{
    {Conversion::kernel, "kernel"},
    {Conversion::systemd, "systemd"},
    {Conversion::oci2020, "oci2020"},
    {Conversion::oci2025, "oci2025"},
}};

constexpr std::uint64_t rounded(std::uint64_t value, std::uint64_t divisor) noexcept {
  return (value + divisor / 2) / divisor;
}

/// Returns ceil(10^((l^2 + 125 l) / 612 - 7 / 34)), l = log2(shares), in runc's order of
/// operations: another order rounds 1024 up to 101.
std::uint64_t quadratic(std::uint64_t shares) noexcept {
  if (shares <= least_shares) return 1;
  if (shares >= most_shares) return most_weight;
  const double l = std::log2(static_cast<double>(shares));
  const double exponent = (l * l + 125 * l) / 612.0 - 7.0 / 34.0;
  return static_cast<std::uint64_t>(std::ceil(std::pow(10, exponent)));
}

/// Returns the smallest shares that convert to at least `weight`.
Shares inverse(Weight weight, Conversion conversion) noexcept {
  std::uint64_t low = least_shares;
  std::uint64_t high = most_shares;
  while (low < high) {
    const std::uint64_t middle = (low + high) / 2;
    if (to_weight(Shares{middle}, conversion).value >= weight.value) {
      high = middle;
    } else {
      low = middle + 1;
    }
  }
  return Shares{low};
}

}  // namespace

std::string_view to_string(Conversion conversion) noexcept {
  for (const auto& [value, name] : names) {
    if (value == conversion) return name;
  }
  return "unknown";
}

std::optional<Conversion> conversion_named(std::string_view name) noexcept {
  for (const auto& [value, known] : names) {
    if (known == name) return value;
  }
  return std::nullopt;
}

Weight to_weight(Shares shares, Conversion conversion) noexcept {
  const std::uint64_t capped = std::min(shares.value, most_shares);
  const auto in_range = [](std::uint64_t weight) {
    return Weight{std::clamp<std::uint64_t>(weight, 1, most_weight)};
  };
  switch (conversion) {
    case Conversion::kernel:
      return in_range(rounded(capped * 100, 1024));
    case Conversion::systemd:
      return in_range(capped * 100 / 1024);
    case Conversion::oci2020:
      if (shares.value == 0) return Weight{0};
      return in_range(1 + (std::max(capped, least_shares) - 2) * 9999 / 262142);
    case Conversion::oci2025:
      if (shares.value == 0) return Weight{0};
      return in_range(quadratic(capped));
  }
  return Weight{0};
}

Shares to_shares(Weight weight, Conversion conversion) noexcept {
  const std::uint64_t capped = std::min(weight.value, most_weight);
  switch (conversion) {
    case Conversion::kernel:
      return Shares{std::clamp(rounded(capped * 1024, 100), least_shares, most_shares)};
    case Conversion::systemd:
      return Shares{std::clamp(capped * 1024 / 100, least_shares, most_shares)};
    case Conversion::oci2020:
    case Conversion::oci2025:
      return inverse(Weight{capped}, conversion);
  }
  return Shares{0};
}

}  // namespace cgctl::cpu
