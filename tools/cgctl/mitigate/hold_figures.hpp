// SPDX-FileCopyrightText: The cgctl authors
// SPDX-License-Identifier: MIT
#pragma once

#include <array>
#include <cstdint>
#include <optional>
#include <string>

#include "cgctl/holds.hpp"

namespace cgctl::tool {

/// Figures of the tasks that held a CPU in the kernel, and of received packets that waited, since
/// the daemon began to watch. The longest ones are those since the last call of forget_longest().
struct HoldFigures {
  struct OfCause {
    std::uint64_t holds = 0;
    holds::Time held{};
    holds::Time longest{};
  };

  bool sampled = false;  ///< false: holds are not known
  bool traced = false;   ///< false: waits of packets are not known
  std::array<OfCause, holds::cause_count> causes{};
  std::uint64_t lost = 0;            ///< samples for which the buffers had no room
  std::optional<holds::Hold> worst;  ///< the longest hold for a known cause
  std::uint64_t waits = 0;
  holds::Time waited{};
  holds::Time longest_wait{};
  /// Segments sent again, and timeouts, of TCP in the network namespace of the process 1.
  std::optional<std::uint64_t> sent_again;
  std::optional<std::uint64_t> timeouts;

  void add(const holds::Hold& hold);
  void add(const holds::Wait& wait);
  void forget_longest();
};

/// Formats the figures in Prometheus' text format.
std::string metrics_text(const HoldFigures& figures);

}  // namespace cgctl::tool
