// SPDX-FileCopyrightText: The cgctl authors
// SPDX-License-Identifier: MIT
#pragma once

#include "cgctl/holds.hpp"
#include "cgctl/host.hpp"
#include "mitigate/hold_figures.hpp"

namespace cgctl::tool {

/// A watch of the CPUs that is cheap enough to run always: it samples each CPU 100 times a second,
/// keeps sums instead of holds, and needs about 100 KiB for each CPU.
class CpuWatch {
 public:
  static constexpr std::chrono::milliseconds interval{250};  ///< between two calls of poll()

  /// Warns of the means that are missing. Fails if no means is there.
  static Result<CpuWatch> start(const Host& host);

  void poll();
  /// Returns the figures, with those of TCP as they are now.
  [[nodiscard]] HoldFigures figures() const;
  /// Begins a new look. Warns of the task that held a CPU longest for a known cause.
  void end_look();

 private:
  CpuWatch(Host host, holds::Watch watch) : host_(std::move(host)), watch_(std::move(watch)) {}

  Host host_;
  holds::Watch watch_;
  HoldFigures figures_;
};

}  // namespace cgctl::tool
