// SPDX-FileCopyrightText: The cgctl authors
// SPDX-License-Identifier: MIT
#include "peers/tally.hpp"

#include <algorithm>

namespace cgctl::peers {
namespace {

Peer peer_of(const Socket& socket) noexcept {
  constexpr std::array<std::uint8_t, 12> mapped = {0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0xff, 0xff};
  Peer peer;
  peer.address = socket.remote;
  peer.v6 = socket.v6;
  if (peer.v6 && std::equal(mapped.begin(), mapped.end(), peer.address.begin())) {
    peer.v6 = false;
    std::copy(socket.remote.begin() + mapped.size(), socket.remote.end(), peer.address.begin());
    std::fill(peer.address.begin() + 4, peer.address.end(), std::uint8_t{0});
  }
  peer.service = socket.local_port < socket.remote_port ? Service::local : Service::remote;
  peer.port = std::min(socket.local_port, socket.remote_port);
  return peer;
}

bool same(const Peer& a, const Peer& b) noexcept {
  return a.port == b.port && a.service == b.service && a.v6 == b.v6 && a.address == b.address;
}

/// Returns the place of the peer in `peers`, where it is added if there is room for it; else the
/// size of `peers`.
std::size_t place_of(const Peer& peer, std::vector<Peer>& peers) noexcept {
  const auto at = std::find_if(peers.begin(), peers.end(),
                               [&peer](const Peer& one) { return same(one, peer); });
  const auto place = static_cast<std::size_t>(at - peers.begin());
  if (place == peers.size() && place < Watch::most_peers) {
    peers.push_back(peer);
    peers.back().segments = 0;
  }
  return place;
}

}  // namespace

Tally::Tally() : slots_(slot_count), fresh_(slot_count) { credited_.reserve(Watch::most_peers); }

Tally::Slot* Tally::find(std::uint64_t cookie) noexcept {
  constexpr std::uint64_t golden = 0x9e3779b97f4a7c15;  // spreads consecutive cookies
  constexpr unsigned top_bits = 51;
  static_assert(slot_count == std::size_t{1} << (64 - top_bits), "a hash is a slot");
  auto at = static_cast<std::size_t>((cookie * golden) >> top_bits);
  while (slots_[at].cookie != 0 && slots_[at].cookie != cookie) at = (at + 1) % slot_count;
  return &slots_[at];
}

/// Returns null for a new socket if the table is full.
Tally::Slot* Tally::find_or_add(std::uint64_t cookie) noexcept {
  Slot* const slot = find(cookie);
  if (slot->cookie == cookie) return slot;
  if (used_ == most_sockets) {
    overflowed_ = true;
    return nullptr;
  }
  ++used_;
  *slot = Slot{cookie, 0, 0};
  return slot;
}

void Tally::see(const Socket& socket) noexcept {
  if (socket.resent == 0) return;
  // A socket that the full table could not take earlier looks like a new one.
  const bool start_known = !overflowed_ || find(socket.cookie)->cookie != 0;
  Slot* const slot = find_or_add(socket.cookie);
  if (slot == nullptr) return;
  const std::uint32_t segments = socket.resent - std::min(slot->resent, socket.resent);
  slot->resent = socket.resent;
  slot->round = round_;
  if (round_ != 0 && start_known && segments != 0) credit(socket, segments);
}

void Tally::credit(const Socket& socket, std::uint32_t segments) noexcept {
  const std::size_t place = place_of(peer_of(socket), credited_);
  if (place < credited_.size()) credited_[place].segments += segments;
}

void Tally::end(bool whole, std::chrono::nanoseconds since, std::chrono::nanoseconds until,
                Resent& found) noexcept {
  for (const Peer& peer : credited_) {
    const std::size_t place = place_of(peer, found.peers);
    if (place == found.peers.size()) continue;
    found.peers[place].segments += peer.segments;
    if (found.peer_bursts.size() < Watch::most_peer_bursts) {
      found.peer_bursts.push_back({since, until, peer.segments, place});
    }
  }
  credited_.clear();
  if (whole && used_ > most_sockets / 2) forget_the_closed();
  ++round_;
}

void Tally::forget_the_closed() noexcept {
  slots_.swap(fresh_);
  std::fill(slots_.begin(), slots_.end(), Slot{});
  used_ = 0;
  for (const Slot& slot : fresh_) {
    if (slot.cookie == 0 || slot.round != round_) continue;
    *find(slot.cookie) = slot;
    ++used_;
  }
}

}  // namespace cgctl::peers
