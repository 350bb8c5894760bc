// SPDX-FileCopyrightText: The cgctl authors
// SPDX-License-Identifier: MIT
#pragma once

#include <algorithm>
#include <cerrno>
#include <cstdint>
#include <optional>

#include "cgctl/filesystem.hpp"
#include "cgctl/host.hpp"
#include "cgctl/parse.hpp"

namespace cgctl::detail {

/// Returns the number of possible CPUs, for which the kernel keeps counters; nothing if it is not
/// known.
inline Result<std::optional<std::uint64_t>> possible_cpus(const Host& host) {
  const auto text = fs::read_trusted(fs::join(host.roots().sys, "devices/system/cpu/possible"));
  if (!text && text.error().os_errno == ENOENT) return std::nullopt;
  if (!text) return fail(text.error());
  std::uint64_t cpus = 0;
  const bool listed = parse::ranges(*text, [&cpus](std::uint64_t first, std::uint64_t last) {
    constexpr std::uint64_t most = 1U << 16U;
    cpus = std::min(most, cpus + std::min(most, last - first) + 1);
  });
  return listed && cpus != 0 ? std::optional(cpus) : std::nullopt;
}

}  // namespace cgctl::detail
