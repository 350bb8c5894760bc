// SPDX-FileCopyrightText: The cgctl authors
// SPDX-License-Identifier: MIT
#include "mitigation/history_text.hpp"

#include <gtest/gtest.h>

#include <chrono>
#include <string>

#include "detail/state_text.hpp"

namespace history_text_test {

using namespace cgctl::mitigation;
using namespace std::chrono_literals;
using cgctl::detail::history_from_text;
using cgctl::detail::Moment;
using cgctl::detail::to_text;

const Moment now{"this-boot", 1000s, 1'800'000'000s};

History full() {
  History history{900s, 3};
  history.actions = {-500s, 100s, 880s};
  history.action_time = 17s;
  history.alarmed = true;
  history.sample = Sample{990s, 1234};
  history.growth = 0.25;
  history.recent_growth = 2.5;
  history.probe = Probe{950s, 12345ns, 678, 99ns};
  history.of(Rung::reclaim) = {700s, 2, 3, 4, 5, std::uint64_t{6} << 40};
  history.of(Rung::drop_all).failed = 9;
  return history;
}

TEST(HistoryText, RoundTripsCompletely) {
  const auto back = history_from_text(to_text(full(), now), now);
  ASSERT_TRUE(back);
  EXPECT_EQ(to_text(*back, now), to_text(full(), now));
  EXPECT_EQ(back->last_action, 900s);
  EXPECT_EQ(back->ineffective, 3);
  EXPECT_EQ(back->actions, full().actions);
  EXPECT_EQ(back->action_time, 17s);
  EXPECT_TRUE(back->alarmed);
  EXPECT_EQ(back->sample.at, 990s);
  EXPECT_EQ(back->sample.zombies, 1234);
  EXPECT_DOUBLE_EQ(back->growth, 0.25);
  EXPECT_DOUBLE_EQ(back->recent_growth, 2.5);
  ASSERT_TRUE(back->probe.at);
  EXPECT_EQ(back->probe.cost, 12345ns);
  EXPECT_EQ(back->probe.memcgs, 678);
  EXPECT_EQ(back->probe.delay, 99ns);
  const RungHistory& rung = back->of(Rung::reclaim);
  EXPECT_EQ(rung.last, 700s);
  EXPECT_EQ(rung.useless, 2);
  EXPECT_EQ(rung.effective, 3);
  EXPECT_EQ(rung.ineffective, 4);
  EXPECT_EQ(rung.failed, 5);
  EXPECT_EQ(rung.given_up, std::uint64_t{6} << 40);
  EXPECT_EQ(back->of(Rung::drop_all).failed, 9);
}

TEST(HistoryText, OfAnOlderCgctlLacksTheRungThatItDidNotHave) {
  const std::string written = to_text(full(), now);
  const auto lines = cgctl::detail::without_checksum(written);
  ASSERT_TRUE(lines);
  std::string text(*lines);
  const std::size_t start = text.find("rung evict");
  ASSERT_NE(start, std::string::npos);
  text.erase(start, text.find('\n', start) + 1 - start);
  const auto back = history_from_text(text + cgctl::detail::checksum_line(text), now);
  ASSERT_TRUE(back);
  EXPECT_EQ(back->actions, full().actions);
  EXPECT_EQ(back->of(Rung::reclaim).effective, 3);
  EXPECT_EQ(back->of(Rung::drop_all).failed, 9);
}

TEST(HistoryText, OfAnEmptyTextIsRefused) {
  const auto back = history_from_text(to_text({}, now), now);
  ASSERT_TRUE(back);
  EXPECT_FALSE(back->last_action);
  EXPECT_FALSE(back->action_time);
  EXPECT_FALSE(back->sample.at);
  EXPECT_FALSE(back->probe.at);
  EXPECT_TRUE(back->actions.empty());
}

TEST(HistoryText, CutOffAnywhereIsRefused) {
  const std::string text = to_text(full(), now);
  for (std::size_t size = 0; size < text.size(); ++size) {
    EXPECT_FALSE(history_from_text(text.substr(0, size), now)) << size;
  }
  EXPECT_FALSE(history_from_text(text + "x", now));
}

TEST(HistoryText, WithAMissingOrChangedLineIsRefused) {
  const std::string text = to_text(full(), now);
  for (std::size_t start = 0; start < text.size();) {
    const std::size_t end = text.find('\n', start) + 1;
    std::string without = text;
    without.erase(start, end - start);
    EXPECT_FALSE(history_from_text(without, now)) << without;
    std::string other = text;
    other[start] = '#';
    EXPECT_FALSE(history_from_text(other, now)) << other;
    start = end;
  }
}

TEST(HistoryText, WithAChangedDigitIsRefused) {
  const std::string text = to_text(full(), now);
  for (std::size_t at = 0; at < text.size(); ++at) {
    std::string other = text;
    other[at] = other[at] == '7' ? '8' : '7';
    EXPECT_FALSE(history_from_text(other, now)) << other;
  }
}

TEST(HistoryText, OfTheFutureIsRefused) {
  const auto of_the_future = [](auto change) {
    History history = full();
    change(history);
    return !history_from_text(to_text(history, now), now);
  };
  const auto future = now.uptime + 1s;
  EXPECT_FALSE(of_the_future([](History& history) { history.last_action = now.uptime; }));
  EXPECT_TRUE(of_the_future([&](History& history) { history.last_action = future; }));
  EXPECT_TRUE(of_the_future([&](History& history) { history.actions.push_back(future); }));
  EXPECT_TRUE(of_the_future([&](History& history) { history.sample.at = future; }));
  EXPECT_TRUE(of_the_future([&](History& history) { history.probe.at = future; }));
  EXPECT_TRUE(of_the_future([&](History& history) { history.of(Rung::reap).last = future; }));
  const Moment earlier{now.boot_id, now.uptime - 1s, now.since_1970};
  EXPECT_FALSE(history_from_text(to_text(full(), now), earlier));
}

TEST(HistoryText, OfAnotherBootKeepsItsDistanceByTheWallClock) {
  const Moment later{"next-boot", 50s, now.since_1970 + 3600s};
  const auto back = history_from_text(to_text(full(), now), later);
  ASSERT_TRUE(back);
  // It was written at 1000 s of uptime, 3600 s ago; now the uptime is 50 s.
  EXPECT_EQ(back->last_action, 900s - 1000s - 3600s + 50s);
  EXPECT_EQ(back->actions.back(), 880s - 1000s - 3600s + 50s);
  EXPECT_EQ(back->ineffective, 0);
  EXPECT_FALSE(back->alarmed);
  EXPECT_FALSE(back->sample.at);
  EXPECT_FALSE(back->probe.at);
  EXPECT_EQ(back->growth, 0);
  EXPECT_EQ(back->of(Rung::reclaim).useless, 0);
  EXPECT_FALSE(back->of(Rung::reclaim).last);
  EXPECT_EQ(back->of(Rung::reclaim).effective, 3) << "counters go on";
}

TEST(HistoryText, OfAnotherBootAndALaterClockCountsAsJustWritten) {
  const Moment earlier{"next-boot", 50s, now.since_1970 - 86400s};
  const auto back = history_from_text(to_text(full(), now), earlier);
  ASSERT_TRUE(back);
  EXPECT_EQ(back->last_action, 900s - 1000s + 50s);
}

}  // namespace history_text_test
