// SPDX-FileCopyrightText: The cgctl authors
// SPDX-License-Identifier: MIT
#pragma once

#include <chrono>
#include <cstdint>
#include <map>
#include <optional>
#include <string>

#include "cgctl/error.hpp"
#include "cgctl/host.hpp"

namespace cgctl::detail {

/// How busy the disks are from its making on: the time in which a disk had I/O in flight
/// (Documentation/admin-guide/iostats.rst, field 10).
class DiskLoad {
 public:
  explicit DiskLoad(const Host& host);

  /// Percent of the time, the busiest disk; waits until a tenth of a second has passed, below which
  /// the kernel's steps would show. Nothing without /proc/diskstats or without a disk.
  [[nodiscard]] Result<std::optional<double>> busiest() const;

 private:
  /// Milliseconds busy by device.
  using Busy = std::map<std::string, std::uint64_t>;
  [[nodiscard]] Result<Busy> read() const;

  std::string proc_;
  std::chrono::steady_clock::time_point start_ = std::chrono::steady_clock::now();
  Result<Busy> before_;
};

}  // namespace cgctl::detail
