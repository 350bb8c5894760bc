// SPDX-FileCopyrightText: The cgctl authors
// SPDX-License-Identifier: MIT
#include "doctor/watch.hpp"

#include <fmt/format.h>
#include <signal.h>
#include <sys/utsname.h>
#include <time.h>

#include <cerrno>
#include <nlohmann/json.hpp>

#include "cgctl/filesystem.hpp"
#include "cli/signals.hpp"
#include "doctor/timeline.hpp"

namespace cgctl::tool::doctor_command {
namespace {

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

/// Watches the network namespaces of some processes.
class Namespaces {
 public:
  explicit Namespaces(const Host& host) : host_(host) { (void)add(0); }

  Status add(pid_t process) {
    watches_.emplace_back(process, peers::Watch::start(host_, process));
    const auto& watch = watches_.back().second;
    return watch ? Status() : Status(fail(watch.error()));
  }

  void poll() {
    // finish() reports an error that lasts.
    for (auto& watch : watches_) (void)(watch.second && watch.second->poll());
  }

  std::vector<InNamespace> finish() {
    std::vector<InNamespace> all;
    for (auto& [process, watch] : watches_) {
      all.emplace_back();
      all.back().process = process;
      const Status status = watch ? watch->finish() : Status(fail(watch.error()));
      if (status) {
        all.back().resent = watch->found();
      } else {
        all.back().resent = fail(status.error());
      }
    }
    return all;
  }

 private:
  const Host& host_;
  std::vector<std::pair<pid_t, Result<peers::Watch>>> watches_;
};

Result<Watched> observe(const Host& host, const WatchOptions& options) {
  constexpr Time interval = std::chrono::milliseconds(100);
  constexpr Time peers_interval = std::chrono::milliseconds(500);
  Watched seen;
  const HeldSignals signals;
  Namespaces namespaces(host);
  for (const pid_t process : options.netns) {
    if (auto status = namespaces.add(process); !status) return fail(status.error());
  }
  auto watch = holds::Watch::start(host, seen.settings);
  if (!watch) return fail(watch.error());
  seen.started = watch->started();
  const Time used = clock_of(CLOCK_PROCESS_CPUTIME_ID);
  const Time end = seen.started + *options.time;
  Time next_peers = seen.started;
  for (Time now = seen.started; now < end; now = clock_of(CLOCK_MONOTONIC)) {
    if (ended_within(std::min(interval, end - now))) break;
    watch->poll();
    collect(*watch, seen);
    if (now < next_peers) continue;
    namespaces.poll();
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
  seen.namespaces = namespaces.finish();
  return seen;
}

/// Builds the picture; moves the holds and waits out of `seen`.
Timeline picture(Watched& seen, const Chain& chain) {
  Timeline timeline;
  utsname machine{};
  ::uname(&machine);
  timeline.title = fmt::format("{}, Linux {}: watched for {}", machine.nodename, machine.release,
                               human_time(seen.ended - seen.started));
  timeline.start = seen.started;
  timeline.end = seen.ended;
  timeline.holds = std::move(seen.holds);
  timeline.waits = std::move(seen.waits);
  for (const InNamespace& one : seen.namespaces) {
    if (!one.resent) continue;
    if (!timeline.bursts) timeline.bursts.emplace();
    const auto& bursts = one.resent->bursts;
    timeline.bursts->insert(timeline.bursts->end(), bursts.begin(), bursts.end());
  }
  for (const Link& link : chain.links) {
    timeline.notes.push_back(
        fmt::format("{}: {}: {}", link.name, to_string(link.state), link.text));
  }
  return timeline;
}

}  // namespace

Exit run_watch(const Globals& globals, const Host& host, const WatchOptions& options) {
  auto seen = observe(host, options);
  if (!seen) return report(seen.error());
  const Chain chain = judge(*seen);
  if (globals.format == Format::json) {
    print(globals, "doctor-watch/1", json_of(*seen, chain));
  } else {
    print(globals, text_of(*seen, chain));
  }
  if (options.svg.empty()) return Exit::done;
  const auto status = fs::write_output(options.svg, svg_of(picture(*seen, chain)));
  return status ? Exit::done : report(status.error());
}

}  // namespace cgctl::tool::doctor_command
