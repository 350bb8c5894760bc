// SPDX-FileCopyrightText: The cgctl authors
// SPDX-License-Identifier: MIT
#include <fmt/format.h>

#include <algorithm>

#include "cgctl/mitigation.hpp"

namespace cgctl::mitigation {
namespace {

using std::chrono::duration;
using std::chrono::seconds;

double milliseconds(std::chrono::nanoseconds time) {
  return duration<double, std::milli>(time).count();
}

std::string in_words(std::uint64_t bytes) {
  if (bytes < std::uint64_t{1} << 20) return fmt::format("{} KiB", bytes >> 10);
  return fmt::format("{:.1f} MiB", static_cast<double>(bytes) / (1 << 20));
}

std::uint64_t less(std::uint64_t from, std::uint64_t amount) {
  return from > amount ? from - amount : 0;
}

/// Fewer pages than one for twenty zombies cannot be what holds them.
bool could_hold(std::uint64_t bytes, const Observation& seen) {
  return bytes / seen.page_size * 20 >= std::max<std::uint64_t>(seen.zombies.low, 1);
}

/// Why to act at all; empty when there is no need.
std::string need(const Observation& seen, const Policy& policy) {
  const std::uint64_t zombies = seen.zombies.low;
  if (zombies == 0) return {};
  if (policy.only) return fmt::format("{} asked for, {} zombies", to_string(*policy.only), zombies);
  if (zombies >= policy.zombies_high) {
    return fmt::format("{} zombies, {} or more call for action", zombies, policy.zombies_high);
  }
  const bool blame = zombies > policy.zombies_low || zombies > seen.zombies.live;
  if (blame && seen.read_cost && *seen.read_cost > policy.read_cost_limit) {
    return fmt::format(
        "a read of the root's numa_stat {} {:.1f} ms, above the limit of {:.1f} ms, with {} "
        "zombies",
        seen.read_cost_measured ? "takes" : "may take", milliseconds(*seen.read_cost),
        milliseconds(policy.read_cost_limit), zombies);
  }
  return {};
}

seconds interval(const History& history, const Policy& policy) {
  seconds wait = policy.min_interval;
  if (wait == seconds(0)) return wait;
  for (unsigned i = 0; i < history.ineffective && wait < policy.max_interval; ++i) wait *= 2;
  return std::min(wait, std::max(policy.max_interval, policy.min_interval));
}

/// Dropping caches cannot help when what is left over is neither clean cache nor slab.
bool nothing_freeable(const Observation& seen) {
  return seen.residual && seen.slab == zombies::SlabPins::no &&
         !could_hold(seen.residual->freeable(), seen);
}

/// Why not to act now; empty when nothing speaks against it.
std::string objection(const Observation& seen, const History& history, const Policy& policy,
                      seconds now) {
  if (history.last_action && now >= *history.last_action) {
    const seconds since = now - *history.last_action;
    const seconds wait = interval(history, policy);
    if (since < wait) {
      return fmt::format("the last action was {} s ago, the next may come after {} s{}",
                         since.count(), wait.count(),
                         history.ineffective == 0
                             ? std::string()
                             : fmt::format(", doubled for {} without effect", history.ineffective));
    }
  }
  if (seen.io_pressure && *seen.io_pressure > policy.io_pressure_limit) {
    return fmt::format(
        "I/O pressure is {:.1f} % (some avg10), above {:.1f} %: refilling the cache would add to "
        "it",
        *seen.io_pressure, policy.io_pressure_limit);
  }
  if (seen.memory_pressure && *seen.memory_pressure > policy.memory_pressure_limit) {
    return fmt::format(
        "memory pressure is {:.1f} % (full avg10), above {:.1f} %: the cache that would go is in "
        "use",
        *seen.memory_pressure, policy.memory_pressure_limit);
  }
  if (nothing_freeable(seen)) {
    std::string why = "nothing that could be freed holds them";
    const std::string pins = explain_pins(seen);
    return pins.empty() ? why : why + ": " + pins;
  }
  return {};
}

std::vector<Rung> ladder(const Observation& seen, const Policy& policy) {
  if (policy.only) return {*policy.only};
  std::vector<Rung> rungs;
  if (seen.can_reclaim) rungs.push_back(Rung::reclaim);
  rungs.push_back(Rung::drop_page_cache);
  rungs.push_back(Rung::drop_slab);
  return rungs;
}

}  // namespace

std::string_view to_string(Rung rung) noexcept {
  switch (rung) {
    case Rung::reclaim:
      return "memory.reclaim";
    case Rung::drop_page_cache:
      return "drop_caches=1";
    case Rung::drop_slab:
      return "drop_caches=2";
    case Rung::drop_all:
      return "drop_caches=3";
  }
  return "unknown";
}

std::string_view to_string(Decision decision) noexcept {
  switch (decision) {
    case Decision::idle:
      return "idle";
    case Decision::act:
      return "act";
    case Decision::refused:
      return "refused";
  }
  return "unknown";
}

std::string_view to_string(End end) noexcept {
  switch (end) {
    case End::done:
      return "done";
    case End::timed_out:
      return "timed_out";
    case End::failed:
      return "failed";
  }
  return "unknown";
}

std::string_view to_string(Effect effect) noexcept {
  switch (effect) {
    case Effect::none:
      return "none";
    case Effect::effective:
      return "effective";
    case Effect::ineffective:
      return "ineffective";
  }
  return "unknown";
}

Plan decide(const Observation& seen, const History& history, const Policy& policy, seconds now) {
  const std::string why = need(seen, policy);
  if (why.empty()) {
    std::string reason =
        fmt::format("{} zombies, fewer than {}", seen.zombies.low, policy.zombies_high);
    if (seen.zombies.low == 0) reason = "no zombies";
    if (seen.read_cost && *seen.read_cost > policy.read_cost_limit) {
      reason += fmt::format(
          "; a read of the root's numa_stat {} {:.1f} ms, but not because of zombies",
          seen.read_cost_measured ? "takes" : "may take", milliseconds(*seen.read_cost));
    }
    return {Decision::idle, std::move(reason), {}};
  }
  if (seen.pages_reparented.value_or(false) && !policy.only) {
    return {Decision::idle,
            why +
                "; but this kernel hands the pages of a removed cgroup to the one above: none of "
                "them keeps a zombie, and what does (files not yet written back, for a while) "
                "cannot be freed from here",
            {}};
  }
  if (policy.guards == Guards::obey) {
    const std::string against = objection(seen, history, policy, now);
    if (!against.empty()) return {Decision::refused, why + "; refused: " + against, {}};
  }
  return {Decision::act, why, ladder(seen, policy)};
}

std::string explain_pins(const Observation& seen) {
  if (!seen.residual || seen.zombies.low == 0) return {};
  const zombies::Residual& left = *seen.residual;
  struct Pin {
    std::uint64_t bytes;
    const char* what;
  };
  std::vector<Pin> pins = {
      {left.shmem,
       "of files on tmpfs or shared memory pin them: remove the files or unmount the tmpfs"},
      {less(left.mapped, left.shmem),
       "of file pages are mapped by running processes: restart those"},
      {left.unevictable, "are locked in memory (mlock): end or restart who locked them"},
      {less(left.anon, left.shmem),
       "of anonymous memory belong to processes that moved on: restart those"},
      {left.surely_freeable(), "of page cache pin them: dropping it frees them"},
  };
  std::stable_sort(pins.begin(), pins.end(),
                   [](const Pin& a, const Pin& b) { return a.bytes > b.bytes; });
  std::string text;
  for (const Pin& pin : pins) {
    if (!could_hold(pin.bytes, seen)) continue;
    if (!text.empty()) text += "; ";
    text += in_words(pin.bytes) + " " + pin.what;
  }
  return text;
}

}  // namespace cgctl::mitigation
