// SPDX-FileCopyrightText: The cgctl authors
// SPDX-License-Identifier: MIT
#include "cgctl/peers.hpp"

#include <arpa/inet.h>

#include <utility>

#include "peers/counter_file.hpp"
#include "peers/sockets.hpp"

namespace cgctl::peers {
namespace {

using std::chrono::nanoseconds;

nanoseconds monotonic() noexcept { return std::chrono::steady_clock::now().time_since_epoch(); }

}  // namespace

std::string to_string(const Peer& peer) {
  std::array<char, INET6_ADDRSTRLEN> text{};
  ::inet_ntop(peer.v6 ? AF_INET6 : AF_INET, peer.address.data(), text.data(), text.size());
  std::string shown = text.data();
  const std::string port = std::to_string(peer.port);
  if (peer.service == Service::local) return shown + " (from port " + port + ")";
  if (peer.v6) shown = "[" + shown + "]";
  return shown + ":" + port;
}

struct Watch::State {
  CounterFile snmp;
  CounterFile netstat;
  std::optional<SocketReader> sockets;
  Tally tally;
  Resent found;
  Counters first;
  std::uint64_t last = 0;      // RetransSegs of the last reading
  std::uint64_t unread = 0;    // segments sent again since the last reading of the sockets
  nanoseconds sockets_read{};  // when that was
  nanoseconds sockets_took{};

  Result<Counters> read_counters();
  void take(const Counters& now);
  void read_sockets();
  Status poll(bool last_one);
};

Result<Counters> Watch::State::read_counters() {
  const auto one = snmp.read();
  if (!one) return fail(one.error());
  const auto two = netstat.read();
  if (!two) return fail(two.error());
  auto counters = parse(*one, *two);
  if (counters) return counters;
  Error error = counters.error();
  error.path = snmp.shown;
  return fail(std::move(error));
}

/// Adds a reading of the counters.
void Watch::State::take(const Counters& now) {
  const nanoseconds before = std::exchange(found.until, monotonic());
  found.counters = growth(first, now);
  const std::uint64_t total = now[Counter::retrans_segs].value_or(0);
  const std::uint64_t more = total - std::min(last, total);
  last = total;
  if (more == 0) return;
  found.segments += more;
  unread += more;
  if (found.bursts.size() < most_bursts) found.bursts.push_back({before, found.until, more, 0});
}

/// Reads the sockets, for the last time if that fails.
void Watch::State::read_sockets() {
  const nanoseconds begin = monotonic();
  const auto whole = sockets->read(tally);
  const nanoseconds end = monotonic();
  // A first reading without some sockets would count all their segments as new ones.
  const bool usable = whole && (*whole || sockets_read != nanoseconds::zero());
  if (!usable) {
    found.peers_unknown =
        whole ? Error::make(errc::incomplete_view, "list TCP sockets", {},
                            "they changed each time that they were read", "try again")
              : whole.error();
    sockets.reset();
    return;
  }
  tally.end(*whole, sockets_read, end, found);
  sockets_read = end;
  sockets_took = end - begin;
  unread = 0;
}

Status Watch::State::poll(bool last_one) {
  const auto counters = read_counters();
  if (!counters) return fail(counters.error());
  take(*counters);
  if (!sockets || unread == 0) return {};
  constexpr int share = 100;
  if (last_one || found.until - sockets_read > sockets_took * share) read_sockets();
  return {};
}

Watch::Watch(std::unique_ptr<State> state) noexcept : state_(std::move(state)) {}
Watch::Watch(Watch&& other) noexcept = default;
Watch& Watch::operator=(Watch&& other) noexcept = default;
Watch::~Watch() = default;

Result<Watch> Watch::start(const Host& host, pid_t process) {
  auto snmp = CounterFile::open(host, process, "snmp");
  if (!snmp) return fail(snmp.error());
  auto netstat = CounterFile::open(host, process, "netstat");
  if (!netstat) return fail(netstat.error());
  auto state = std::make_unique<State>();
  state->snmp = std::move(*snmp);
  state->netstat = std::move(*netstat);
  Resent& found = state->found;
  found.network_namespace = namespace_of(host, process);
  found.bursts.reserve(most_bursts);
  found.peers.reserve(most_peers);
  found.peer_bursts.reserve(most_peer_bursts);
  const auto counters = state->read_counters();
  if (!counters) return fail(counters.error());
  state->first = *counters;
  state->last = state->first[Counter::retrans_segs].value_or(0);
  found.since = found.until = monotonic();
  auto netlink = open_netlink(host, process);
  if (netlink) {
    state->sockets.emplace(std::move(*netlink));
    state->read_sockets();
  } else {
    found.peers_unknown = netlink.error();
  }
  return Watch(std::move(state));
}

Status Watch::poll() { return state_->poll(false); }
Status Watch::finish() { return state_->poll(true); }
const Resent& Watch::found() const noexcept { return state_->found; }

}  // namespace cgctl::peers
