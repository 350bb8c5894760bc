// SPDX-FileCopyrightText: The cgctl authors
// SPDX-License-Identifier: MIT
#pragma once

#include <array>
#include <cstddef>
#include <cstdint>
#include <vector>

#include "cgctl/peers.hpp"

namespace cgctl::peers {

/// One TCP socket of a reading.
struct Socket {
  std::uint64_t cookie = 0;  ///< unique on the machine
  std::array<std::uint8_t, 16> remote{};
  bool v6 = false;
  std::uint16_t local_port = 0;
  std::uint16_t remote_port = 0;
  std::uint32_t resent = 0;  ///< segments sent again since its creation
};

/// Adds up by peer what the sockets have sent again from one reading to the next. Memory is
/// allocated only at the construction.
class Tally {
 public:
  /// Number of sockets that have ever sent again whose figures are kept from one reading to the
  /// next. Sockets beyond that count for no peer.
  static constexpr std::size_t most_sockets = 6144;

  Tally();

  /// Adds a socket; the same one may come again. Before the first end() it only takes its figure as
  /// the start.
  void see(const Socket& socket) noexcept;
  /// Ends a reading: moves the new segments to `found`. `whole` is false for a reading that may
  /// lack sockets.
  void end(bool whole, std::chrono::nanoseconds since, std::chrono::nanoseconds until,
           Resent& found) noexcept;

 private:
  struct Slot {
    std::uint64_t cookie = 0;  // 0: free
    std::uint32_t resent = 0;
    std::uint32_t round = 0;  // the last reading that had it
  };
  static constexpr std::size_t slot_count = 8192;
  static_assert(most_sockets < slot_count, "a search ends at a free slot");

  Slot* find(std::uint64_t cookie) noexcept;
  Slot* find_or_add(std::uint64_t cookie) noexcept;
  void credit(const Socket& socket, std::uint32_t segments) noexcept;
  void forget_the_closed() noexcept;

  std::vector<Slot> slots_;
  std::vector<Slot> fresh_;     // for forget_the_closed()
  std::vector<Peer> credited_;  // in this reading
  std::size_t used_ = 0;
  std::uint32_t round_ = 0;
  bool overflowed_ = false;
};

}  // namespace cgctl::peers
