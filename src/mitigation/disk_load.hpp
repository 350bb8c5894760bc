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

/// Measures the load of the disks since its construction: the time in which a disk had I/O in
/// flight (Documentation/admin-guide/iostats.rst, field 10).
class DiskLoad {
 public:
  explicit DiskLoad(const Host& host);

  /// Returns the percentage of time that the busiest disk was busy; nothing without /proc/diskstats
  /// or without a disk. Waits until a tenth of a second has passed, because the kernel's counter is
  /// too coarse for less.
  [[nodiscard]] Result<std::optional<double>> busiest() const;

 private:
  /// Busy time in milliseconds, by device.
  using Busy = std::map<std::string, std::uint64_t>;
  [[nodiscard]] Result<Busy> read() const;

  std::string proc_;
  std::chrono::steady_clock::time_point start_ = std::chrono::steady_clock::now();
  Result<Busy> before_;
};

}  // namespace cgctl::detail
