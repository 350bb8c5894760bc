// SPDX-FileCopyrightText: The cgctl authors
// SPDX-License-Identifier: MIT
#pragma once

#include <sys/types.h>

#include <array>
#include <chrono>
#include <cstddef>
#include <cstdint>
#include <memory>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "cgctl/error.hpp"
#include "cgctl/host.hpp"

/// Segments that TCP sent again, in a network namespace and to which remote addresses. While a CPU
/// is held in the kernel, the packets that it should receive wait, and their senders send again.
///
///     auto watch = peers::Watch::start(host);   // or start(host, pid): the namespace of a process
///     watch->poll();                            // about once a second
///     watch->finish();
///     const peers::Resent& found = watch->found();
namespace cgctl::peers {

/// Counters of a network namespace since its creation (networking/snmp_counter.rst), by the names
/// that the kernel gives them in /proc/net/snmp and /proc/net/netstat.
enum class Counter {
  out_segs,                ///< segments sent, those sent again excluded
  retrans_segs,            ///< segments sent again
  tcp_timeouts,            ///< retransmission timeouts (RTO) that expired
  tcp_loss_probes,         ///< tail loss probes: sent again before the timeout
  tcp_lost_retransmit,     ///< segments sent again that were lost again
  tcp_spurious_rtos,       ///< timeouts whose segment had arrived: the peer answered late
  tcp_slow_start_retrans,  ///< sent again after a timeout
  tcp_fast_retrans,        ///< sent again because later segments had arrived
  tcp_syn_retrans,         ///< SYN and SYN-ACK sent again
  tcp_abort_on_timeout,    ///< connections given up after too many timeouts
};
inline constexpr std::size_t counter_count = 10;

/// Returns the kernel's name: "RetransSegs", "TCPTimeouts".
std::string_view to_string(Counter counter) noexcept;

/// A counter is absent if the kernel does not have it.
class Counters {
 public:
  [[nodiscard]] const std::optional<std::uint64_t>& operator[](Counter counter) const noexcept {
    return values_[static_cast<std::size_t>(counter)];
  }
  [[nodiscard]] std::optional<std::uint64_t>& operator[](Counter counter) noexcept {
    return values_[static_cast<std::size_t>(counter)];
  }

 private:
  std::array<std::optional<std::uint64_t>, counter_count> values_{};
};

/// Parses the texts of /proc/net/snmp and /proc/net/netstat. errc::malformed if a line of values
/// does not belong to the line of names above it, errc::truncated without the counters of TCP.
[[nodiscard]] Result<Counters> parse(std::string_view snmp, std::string_view netstat);

/// Returns the growth of each counter; absent if one of the readings lacks it, or if it fell.
[[nodiscard]] Counters growth(const Counters& before, const Counters& after) noexcept;

/// The end of a connection that has the service. The lower port is taken for the service's.
enum class Service { remote, local };

/// A remote address, with the port of the service.
struct Peer {
  std::array<std::uint8_t, 16> address{};  ///< an IPv4 address fills the first four bytes
  bool v6 = false;                         ///< false also for IPv4-mapped IPv6 addresses
  Service service = Service::remote;
  std::uint16_t port = 0;
  std::uint64_t segments = 0;  ///< sent again to it
};

/// Returns "10.0.3.7:6379", "[2001:db8::7]:6379"; for a local service "10.0.3.7 (from port 6379)".
std::string to_string(const Peer& peer);

/// Segments sent again between two readings; `since` and `until` are of CLOCK_MONOTONIC.
struct Burst {
  std::chrono::nanoseconds since{};
  std::chrono::nanoseconds until{};
  std::uint64_t segments = 0;
  std::size_t peer = 0;  ///< its place in Resent::peers; unused in Resent::bursts
};

/// Result of a Watch. All tables are bounded; `segments` minus the sum of a table is the number of
/// segments that it lacks.
struct Resent {
  std::uint64_t network_namespace = 0;  ///< inode of /proc/PID/ns/net; 0: unknown
  std::chrono::nanoseconds since{};     ///< first reading, CLOCK_MONOTONIC
  std::chrono::nanoseconds until{};     ///< last reading
  Counters counters;                    ///< growth from the first reading to the last
  std::uint64_t segments = 0;           ///< segments sent again
  std::vector<Burst> bursts;            ///< readings between which segments were sent again
  std::vector<Peer> peers;              ///< in the order in which they were met
  /// By peer. Between two readings of the sockets, those that came and went are not seen: their
  /// segments count in `bursts` alone.
  std::vector<Burst> peer_bursts;
  std::optional<Error> peers_unknown;  ///< why sockets were not, or are no longer, read
};

/// Watches one network namespace, and keeps it alive meanwhile. Not for concurrent use.
class Watch {
 public:
  /// Sizes of the tables in Resent.
  static constexpr std::size_t most_bursts = 1024;
  static constexpr std::size_t most_peers = 256;
  static constexpr std::size_t most_peer_bursts = 4096;

  /// Makes the first reading. `process` 0 is the own process. Sockets are listed by netlink
  /// (sock_diag(7), with the TCP_INFO of Linux 2.6.37); for another namespace this needs
  /// CAP_SYS_ADMIN. If that is refused, Resent::peers_unknown has the reason, and the counters are
  /// still read. The caller's namespace is not changed.
  [[nodiscard]] static Result<Watch> start(const Host& host, pid_t process = 0);

  Watch(Watch&& other) noexcept;
  Watch& operator=(Watch&& other) noexcept;
  ~Watch();

  /// Reads the counters: two pread(2), no allocation. Reads the sockets only if segments were sent
  /// again since the last time, and if that took less than a hundredth of the time since.
  [[nodiscard]] Status poll();
  /// Like poll(), but reads the sockets in any case in which segments were sent again.
  [[nodiscard]] Status finish();
  [[nodiscard]] const Resent& found() const noexcept;

 private:
  struct State;
  explicit Watch(std::unique_ptr<State> state) noexcept;
  std::unique_ptr<State> state_;
};

}  // namespace cgctl::peers
