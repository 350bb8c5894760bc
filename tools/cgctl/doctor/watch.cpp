// SPDX-FileCopyrightText: The cgctl authors
// SPDX-License-Identifier: MIT
#include "doctor/watch.hpp"

#include <signal.h>
#include <time.h>

#include <cerrno>
#include <nlohmann/json.hpp>

#include "cli/signals.hpp"

namespace cgctl::tool::doctor_command {
namespace {

using holds::Time;

Time clock_of(clockid_t clock) {
  timespec now{};
  ::clock_gettime(clock, &now);
  return std::chrono::seconds(now.tv_sec) + std::chrono::nanoseconds(now.tv_nsec);
}

/// Waits this long; true if a signal came that ends the command.
bool ended_within(Time time) {
  const sigset_t ending = ending_signals();
  timespec wait{};
  wait.tv_nsec = static_cast<decltype(wait.tv_nsec)>(time.count());
  return ::sigtimedwait(&ending, nullptr, &wait) > 0;
}

/// Moves what was found to `seen`, as far as there is room.
void collect(holds::Watch& watch, Watched& seen) {
  constexpr std::size_t most = 16384;
  holds::Hold hold;
  while (watch.next(hold)) {
    if (seen.holds.size() == most) ++seen.forgotten;
    if (seen.holds.size() < most) seen.holds.push_back(hold);
  }
  holds::Wait wait;
  while (watch.next(wait)) {
    if (seen.waits.size() == most) ++seen.forgotten;
    if (seen.waits.size() < most) seen.waits.push_back(wait);
  }
}

Result<Watched> observe(const Host& host, Time time) {
  constexpr Time interval = std::chrono::milliseconds(100);
  constexpr Time peers_interval = std::chrono::milliseconds(500);
  Watched seen;
  const HeldSignals signals;
  auto watch = holds::Watch::start(host, seen.settings);
  if (!watch) return fail(watch.error());
  seen.started = watch->started();
  auto peers = peers::Watch::start(host);
  const Time used = clock_of(CLOCK_PROCESS_CPUTIME_ID);
  const Time end = seen.started + time;
  Time next_peers = seen.started;
  for (Time now = seen.started; now < end; now = clock_of(CLOCK_MONOTONIC)) {
    if (ended_within(std::min(interval, end - now))) break;
    watch->poll();
    collect(*watch, seen);
    if (!peers || now < next_peers) continue;
    (void)peers->poll();  // finish() reports an error that lasts
    next_peers = now + peers_interval;
  }
  watch->stop();
  collect(*watch, seen);
  seen.cpu_time = clock_of(CLOCK_PROCESS_CPUTIME_ID) - used;
  seen.ended = watch->polled();
  seen.cpus = watch->cpus();
  seen.totals = watch->totals();
  watch->name_functions(seen.holds, seen.totals);
  seen.missing = watch->missing();
  seen.forgotten += watch->forgotten();
  seen.zombies = zombies::count(host);
  const Status finished = peers ? peers->finish() : Status(fail(peers.error()));
  if (finished) seen.resent = peers->found();
  if (!finished) seen.resent = fail(finished.error());
  return seen;
}

}  // namespace

Exit run_watch(const Globals& globals, const Host& host, std::chrono::nanoseconds time) {
  const auto seen = observe(host, time);
  if (!seen) return report(seen.error());
  const Chain chain = judge(*seen);
  if (globals.format == Format::json) {
    print(globals, json_of(*seen, chain));
  } else {
    print(globals, text_of(*seen, chain));
  }
  return Exit::done;
}

}  // namespace cgctl::tool::doctor_command
