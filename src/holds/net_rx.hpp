// SPDX-FileCopyrightText: The cgctl authors
// SPDX-License-Identifier: MIT
#pragma once

#include <cstdint>
#include <utility>

#include "holds/event.hpp"

namespace cgctl::holds {

/// The tracepoints that show how long received packets wait for their softirq.
struct Tracepoints {
  std::uint64_t raise = 0;
  std::uint64_t entry = 0;
};

/// Measures the delay of NET_RX on one CPU. Pauses where packets come so often that tracing would
/// cost more than it may: longer on a CPU on which nobody was seen to hold it.
class NetRx {
 public:
  NetRx() = default;

  [[nodiscard]] static Result<NetRx> open(const Tracepoints& points, std::uint32_t cpu,
                                          std::size_t kib) {
    auto raise = Event::open(tracing(points.raise), cpu, pages_of(kib));
    if (!raise) return fail(raise.error());
    auto entry = Event::open_into(tracing(points.entry), cpu, *raise);
    if (!entry) return fail(entry.error());
    NetRx traced;
    traced.raise_ = std::move(*raise);
    traced.entry_ = std::move(*entry);
    traced.points_ = points;
    for (const Event* const event : {&traced.raise_, &traced.entry_}) {
      if (auto status = event->filter("vec == 3"); !status) return fail(status.error());
    }
    traced.switch_to(true);
    return traced;
  }

  [[nodiscard]] bool open() const noexcept { return static_cast<bool>(raise_); }

  /// Calls visit(start, end) for each delay since the last call, which was `passed` ago.
  template <class Visit>
  void drain(Time now, Time passed, Visit visit) noexcept {
    if (!on_) {
      if (now >= resume_) switch_to(true);
      return;
    }
    std::int64_t records = 0;
    raise_.drain(
        [&](const perf_event_header& header, const std::uint64_t* words, std::size_t count) {
          ++records;
          Traced traced;
          if (header.type != PERF_RECORD_SAMPLE || !read_traced(words, count, traced)) {
            raised_ = Time{};
          } else if (traced.id == points_.raise) {
            if (raised_ == Time{}) raised_ = traced.at;
          } else if (raised_ != Time{}) {
            visit(std::exchange(raised_, Time{}), traced.at);
          }
        });
    const Time paid = records * Time(std::chrono::seconds(1)) / most_a_second();
    if (paid <= std::max<Time>(passed, least_time)) return;
    switch_to(false);
    resume_ = now + paid - passed;
  }
  /// Pauses less from now on, because someone holds the CPU.
  void suspect(Time now) noexcept {
    if (!suspected_) resume_ = now;
    suspected_ = true;
  }
  void switch_to(bool on) noexcept {
    if (on_ == on || !open()) return;
    on_ = on;
    raised_ = Time{};
    // Records from before a pause would look like a delay as long as the pause. A raise that is
    // recorded without its entry would, too.
    if (on) raise_.drain([](const perf_event_header&, const std::uint64_t*, std::size_t) {});
    for (const Event* const event : {&entry_, &raise_}) on ? event->enable() : event->disable();
  }

 private:
  static constexpr Time least_time = std::chrono::milliseconds(10);

  /// A record takes about 0.3 us.
  [[nodiscard]] std::int64_t most_a_second() const noexcept {
    constexpr std::int64_t usual = 3000;
    constexpr std::int64_t suspected = 15000;
    return suspected_ ? suspected : usual;
  }

  Event raise_;
  Event entry_;
  Tracepoints points_;
  Time raised_{};  // by the first raise since the last entry
  Time resume_{};
  bool on_ = false;
  bool suspected_ = false;
};

}  // namespace cgctl::holds
