// SPDX-FileCopyrightText: The cgctl authors
// SPDX-License-Identifier: MIT
#include "mitigate/hold_figures.hpp"

#include <algorithm>

#include "mitigate/metrics_writer.hpp"

namespace cgctl::tool {
namespace {

void counter(MetricsWriter& text, const char* name, const char* help, std::uint64_t value) {
  text.head(name, "counter", help);
  text.value(value);
}

void add_holds(MetricsWriter& text, const HoldFigures& figures) {
  const auto each = [&](const char* name, const char* type, const char* help, auto figure) {
    text.head(name, type, help);
    for (std::size_t i = 0; i < figures.causes.size(); ++i) {
      text.value(fmt::format("cause=\"{}\"", holds::to_string(static_cast<holds::Cause>(i))),
                 figure(figures.causes[i]));
    }
  };
  using OfCause = HoldFigures::OfCause;
  each("cgctl_cpu_holds_total", "counter",
       "Times that a task held a CPU in the kernel for 50 ms or more, by cause.",
       [](const OfCause& one) { return one.holds; });
  each("cgctl_cpu_held_seconds_total", "counter", "Sum of these times.",
       [](const OfCause& one) { return in_seconds(one.held); });
  each("cgctl_cpu_longest_hold_seconds", "gauge",
       "Longest of these times between the last two looks.",
       [](const OfCause& one) { return in_seconds(one.longest); });
  counter(text, "cgctl_cpu_samples_lost_total",
          "Samples of the CPUs that were lost, because they came faster than they were read.",
          figures.lost);
}

void add_waits(MetricsWriter& text, const HoldFigures& figures) {
  counter(text, "cgctl_net_rx_waits_total",
          "Times that received packets waited 50 ms or more for their CPU.", figures.waits);
  text.head("cgctl_net_rx_wait_seconds_total", "counter", "Sum of these times.");
  text.value(in_seconds(figures.waited));
  text.gauge("cgctl_net_rx_longest_wait_seconds",
             "Longest of these times between the last two looks.",
             in_seconds(figures.longest_wait));
}

}  // namespace

void HoldFigures::add(const holds::Hold& hold) {
  OfCause& one = causes[static_cast<std::size_t>(hold.task.cause)];
  ++one.holds;
  one.held += hold.length();
  one.longest = std::max(one.longest, hold.length());
  if (hold.task.cause == holds::Cause::other) return;
  if (!worst || hold.length() > worst->length()) worst = hold;
}

void HoldFigures::add(const holds::Wait& wait) {
  ++waits;
  waited += wait.length();
  longest_wait = std::max(longest_wait, wait.length());
}

void HoldFigures::forget_longest() {
  for (OfCause& one : causes) one.longest = {};
  worst.reset();
  longest_wait = {};
}

std::string metrics_text(const HoldFigures& figures) {
  MetricsWriter text;
  if (figures.sampled) add_holds(text, figures);
  if (figures.traced) add_waits(text, figures);
  if (figures.sent_again) {
    counter(text, "cgctl_tcp_segments_sent_again_total",
            "Segments that TCP sent again, in the host's network namespace.", *figures.sent_again);
  }
  if (figures.timeouts) {
    counter(text, "cgctl_tcp_timeouts_total",
            "Timeouts after which TCP sent a segment again, in the host's network namespace.",
            *figures.timeouts);
  }
  return text.take();
}

}  // namespace cgctl::tool
