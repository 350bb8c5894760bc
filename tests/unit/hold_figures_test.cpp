// SPDX-FileCopyrightText: The cgctl authors
// SPDX-License-Identifier: MIT
#include "mitigate/hold_figures.hpp"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <string>

namespace hold_figures_test {

using namespace cgctl;
using namespace std::chrono_literals;
using holds::Cause;
using ::testing::HasSubstr;
using ::testing::Not;
using tool::HoldFigures;

holds::Hold hold(Cause cause, holds::Time length) {
  holds::Hold made;
  made.start = 100s;
  made.end = 100s + length;
  made.task.cause = cause;
  return made;
}

holds::Wait wait(holds::Time length) { return {holds::Wait::Kind::net_rx, 1, 100s, 100s + length}; }

HoldFigures of_a_minute() {
  HoldFigures figures;
  figures.sampled = figures.traced = true;
  figures.add(hold(Cause::numa_stat, 1100ms));
  figures.add(hold(Cause::numa_stat, 400ms));
  figures.add(hold(Cause::other, 2s));
  figures.add(wait(900ms));
  figures.add(wait(100ms));
  return figures;
}

TEST(HoldFigures, AreMetricsByCause) {
  HoldFigures figures = of_a_minute();
  figures.lost = 7;
  figures.sent_again = 412;
  figures.timeouts = 0;
  const std::string text = metrics_text(figures);
  EXPECT_THAT(text, HasSubstr("\ncgctl_cpu_holds_total{cause=\"numa_stat\"} 2\n"));
  EXPECT_THAT(text, HasSubstr("\ncgctl_cpu_held_seconds_total{cause=\"numa_stat\"} 1.5\n"));
  EXPECT_THAT(text, HasSubstr("\ncgctl_cpu_longest_hold_seconds{cause=\"numa_stat\"} 1.1\n"));
  EXPECT_THAT(text, HasSubstr("\ncgctl_cpu_holds_total{cause=\"other\"} 1\n"));
  EXPECT_THAT(text, HasSubstr("\ncgctl_cpu_holds_total{cause=\"memory_stat\"} 0\n"));
  EXPECT_THAT(text, HasSubstr("\ncgctl_cpu_samples_lost_total 7\n"));
  EXPECT_THAT(text, HasSubstr("\ncgctl_net_rx_waits_total 2\n"));
  EXPECT_THAT(text, HasSubstr("\ncgctl_net_rx_wait_seconds_total 1\n"));
  EXPECT_THAT(text, HasSubstr("\ncgctl_net_rx_longest_wait_seconds 0.9\n"));
  EXPECT_THAT(text, HasSubstr("\ncgctl_tcp_segments_sent_again_total 412\n"));
  EXPECT_THAT(text, HasSubstr("\ncgctl_tcp_timeouts_total 0\n"));
}

TEST(HoldFigures, NameTheWorstTaskOnlyForAKnownCause) {
  HoldFigures figures = of_a_minute();
  ASSERT_TRUE(figures.worst);
  EXPECT_EQ(figures.worst->length(), 1100ms);
  figures.forget_longest();
  figures.add(hold(Cause::other, 2s));
  EXPECT_FALSE(figures.worst);
}

TEST(HoldFigures, BeginAnewForTheLongestTimesOnly) {
  HoldFigures figures = of_a_minute();
  figures.forget_longest();
  figures.add(hold(Cause::numa_stat, 60ms));
  const std::string text = metrics_text(figures);
  EXPECT_THAT(text, HasSubstr("\ncgctl_cpu_longest_hold_seconds{cause=\"numa_stat\"} 0.06\n"));
  EXPECT_THAT(text, HasSubstr("\ncgctl_cpu_longest_hold_seconds{cause=\"other\"} 0\n"));
  EXPECT_THAT(text, HasSubstr("\ncgctl_net_rx_longest_wait_seconds 0\n"));
  EXPECT_THAT(text, HasSubstr("\ncgctl_cpu_holds_total{cause=\"numa_stat\"} 3\n"));
  EXPECT_THAT(text, HasSubstr("\ncgctl_net_rx_waits_total 2\n"));
}

TEST(HoldFigures, LeaveOutWhatIsNotKnown) {
  HoldFigures figures = of_a_minute();
  figures.sampled = false;
  EXPECT_THAT(metrics_text(figures), Not(HasSubstr("cgctl_cpu")));
  EXPECT_THAT(metrics_text(figures), HasSubstr("cgctl_net_rx"));
  EXPECT_THAT(metrics_text(figures), Not(HasSubstr("cgctl_tcp")));
  figures.traced = false;
  EXPECT_EQ(metrics_text(figures), "");
}

}  // namespace hold_figures_test
