// SPDX-FileCopyrightText: The cgctl authors
// SPDX-License-Identifier: MIT
#include "recorder/ledger.hpp"

#include <algorithm>
#include <iterator>
#include <tuple>
#include <utility>

namespace cgctl::recorder {
namespace {

using std::chrono::seconds;

/// Number of early releases that are kept for the next batch.
constexpr std::size_t most_early = 256;

/// Returns the first bytes of a text; a '*' ends a text that is cut.
std::string first_bytes(std::string_view text, std::size_t most) {
  if (text.size() <= most) return std::string(text);
  return std::string(text.substr(0, most - 1)) + "*";
}

/// Adds the figures of one maker to the one that stands for all others.
void merge(Maker& others, const Maker& maker) {
  others.first = others.removals == 0 ? maker.first : std::min(others.first, maker.first);
  others.last = std::max(others.last, maker.last);
  others.removals += maker.removals;
  others.released += maker.released;
  others.forgotten += maker.forgotten;
}

/// Frees the place of the maker with the fewest removals, of these the one that was idle longest.
std::size_t make_room(Ledger& ledger) {
  const auto rarer = [](const Maker& one, const Maker& other) {
    return std::tie(one.removals, one.last) < std::tie(other.removals, other.last);
  };
  const auto rarest = std::min_element(ledger.makers.begin() + 1, ledger.makers.end(), rarer);
  merge(ledger.makers.front(), *rarest);
  *rarest = Maker();
  const auto place = static_cast<std::size_t>(rarest - ledger.makers.begin());
  for (Removed& one : ledger.dead) {
    if (one.maker == place) one.maker = 0;
  }
  return place;
}

/// Returns the place of the maker with this pattern.
std::size_t place_of(Ledger& ledger, std::string pattern) {
  const auto found = std::find_if(ledger.makers.begin() + 1, ledger.makers.end(),
                                  [&](const Maker& maker) { return maker.pattern == pattern; });
  auto place = static_cast<std::size_t>(found - ledger.makers.begin());
  if (found != ledger.makers.end()) return place;
  if (ledger.makers.size() < most_makers) {
    ledger.makers.emplace_back();
  } else {
    place = make_room(ledger);
  }
  ledger.makers[place].pattern = std::move(pattern);
  return place;
}

/// Notes that the kernel has let a cgroup go. Returns false if its removal is unknown.
bool release(Ledger& ledger, std::uint64_t id) {
  if (id == 0) return false;  // the cgroup was gone before its ID could be read
  // Most cgroups are released soon after their removal.
  const auto found = std::find_if(ledger.dead.rbegin(), ledger.dead.rend(),
                                  [id](const Removed& one) { return one.id == id; });
  if (found == ledger.dead.rend()) return false;
  if (ledger.releases) ++ledger.makers[found->maker].released;
  ledger.dead.erase(std::next(found).base());
  return true;
}

void remove(Ledger& ledger, const Event& event, const workload::Pods& pods) {
  const auto at = std::chrono::duration_cast<seconds>(event.at);
  const std::size_t place =
      place_of(ledger, first_bytes(workload::maker_of(event.path, pods), longest_pattern));
  Maker& maker = ledger.makers[place];
  if (maker.removals == 0) maker.first = at;
  maker.last = std::max(maker.last, at);
  ++maker.removals;
  maker.example = first_bytes(event.path, longest_example);
  const auto early = std::find_if(ledger.early.begin(), ledger.early.end(),
                                  [&](const Early& one) { return one.id == event.id; });
  if (early != ledger.early.end()) {
    ledger.early.erase(early);
    ++maker.released;
    return;
  }
  if (!ledger.releases) ++maker.forgotten;
  if (ledger.dead.size() == most_dead) {
    if (ledger.releases) ++ledger.makers[ledger.dead.front().maker].forgotten;
    ledger.dead.erase(ledger.dead.begin());
  }
  ledger.dead.push_back({event.id, at, place, std::string(event.path)});
}

void add(Ledger& ledger, const Event& event, std::chrono::nanoseconds begun,
         const workload::Pods& pods) {
  switch (event.kind) {
    case Event::Kind::made:
      // An ID is used again only after its release, whose record was lost.
      release(ledger, event.id);
      break;
    case Event::Kind::removed:
      release(ledger, event.id);
      remove(ledger, event, pods);
      break;
    case Event::Kind::released:
      if (release(ledger, event.id) || event.at < begun) break;
      if (ledger.early.size() < most_early) ledger.early.push_back({event.id, event.at});
      break;
  }
}

}  // namespace

std::optional<std::chrono::milliseconds> Maker::interval() const noexcept {
  if (removals < 2) return std::nullopt;
  return std::chrono::milliseconds(last - first) / static_cast<std::int64_t>(removals - 1);
}

std::uint64_t Ledger::removals() const noexcept {
  std::uint64_t sum = 0;
  for (const Maker& maker : makers) sum += maker.removals;
  return sum;
}

const Removed* Ledger::find(std::uint64_t inode) const noexcept {
  if (!inodes) return nullptr;
  const auto found = std::find_if(dead.begin(), dead.end(),
                                  [inode](const Removed& one) { return one.id == inode; });
  return found == dead.end() ? nullptr : &*found;
}

void add(Ledger& ledger, const std::vector<Event>& batch, std::chrono::nanoseconds begun,
         const workload::Pods& pods) {
  for (const Event& event : batch) add(ledger, event, begun, pods);
  const auto settled = [begun](const Early& one) { return one.at < begun; };
  ledger.early.erase(std::remove_if(ledger.early.begin(), ledger.early.end(), settled),
                     ledger.early.end());
}

}  // namespace cgctl::recorder
