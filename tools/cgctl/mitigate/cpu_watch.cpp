// SPDX-FileCopyrightText: The cgctl authors
// SPDX-License-Identifier: MIT
#include "mitigate/cpu_watch.hpp"

#include <fmt/format.h>

#include <utility>

#include "cgctl/filesystem.hpp"
#include "cgctl/peers.hpp"
#include "cli/command.hpp"
#include "cli/units.hpp"
#include "doctor/watch_words.hpp"

namespace cgctl::tool {
namespace {

holds::Settings cheap_settings() {
  holds::Settings settings;
  settings.interval = std::chrono::microseconds(10007);  // no multiple of the kernel's tick
  settings.shortest = std::chrono::milliseconds(50);
  settings.buffer_kib = 64;
  settings.most = 64;
  settings.wake_up = false;
  return settings;
}

void say_missing(const holds::Missing& missing) {
  for (const auto* error : {&missing.sampling, &missing.symbols, &missing.net_rx}) {
    if (*error) warn(message_of(**error));
  }
}

/// Reads the counters of TCP; they are absent if they cannot be read.
void read_tcp(const Host& host, HoldFigures& figures) {
  const auto snmp = fs::read_in_root(host.roots().proc, "1/net/snmp");
  const auto netstat = fs::read_in_root(host.roots().proc, "1/net/netstat");
  if (!snmp || !netstat) return;
  const auto counters = peers::parse(*snmp, *netstat);
  if (!counters) return;
  figures.sent_again = (*counters)[peers::Counter::retrans_segs];
  figures.timeouts = (*counters)[peers::Counter::tcp_timeouts];
}

}  // namespace

Result<CpuWatch> CpuWatch::start(const Host& host) {
  auto watch = holds::Watch::start(host, cheap_settings());
  if (!watch) return fail(watch.error());
  const holds::Missing missing = watch->missing();
  say_missing(missing);
  if (missing.sampling && missing.net_rx) {
    return fail(Error::make(errc::unsupported, "watch the CPUs", {},
                            "the daemon may neither sample them nor trace their packets"));
  }
  CpuWatch made(host, std::move(*watch));
  made.figures_.sampled = !missing.sampling;
  made.figures_.traced = !missing.net_rx;
  return made;
}

void CpuWatch::poll() {
  watch_.poll();
  holds::Hold hold;
  while (watch_.next(hold)) figures_.add(hold);
  holds::Wait wait;
  while (watch_.next(wait)) figures_.add(wait);
}

HoldFigures CpuWatch::figures() const {
  HoldFigures now = figures_;
  for (const holds::Cpu& cpu : watch_.cpus()) now.lost += cpu.lost;
  read_tcp(host_, now);
  return now;
}

void CpuWatch::end_look() {
  if (figures_.worst) {
    const holds::Hold& hold = *figures_.worst;
    warn(fmt::format("{} held CPU {} for {}, {}", doctor_command::who(hold.task), hold.cpu,
                     human_time(hold.length()), doctor_command::work(hold.task)));
  }
  figures_.forget_longest();
}

}  // namespace cgctl::tool
