// SPDX-FileCopyrightText: The cgctl authors
// SPDX-License-Identifier: MIT
#include "doctor/timeline.hpp"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <string>

namespace timeline_test {

using namespace cgctl;
using namespace std::chrono_literals;
using ::testing::HasSubstr;
using ::testing::Not;
using tool::doctor_command::svg_of;
using tool::doctor_command::Timeline;

holds::Hold hold(std::uint32_t cpu, holds::Time start, holds::Time length,
                 holds::Cause cause = holds::Cause::numa_stat) {
  holds::Hold made;
  made.cpu = cpu;
  made.start = start;
  made.end = start + length;
  made.task.pid = 4242;
  made.task.comm = holds::Text<16>("kubelet");
  made.task.cause = cause;
  made.task.file = holds::Text<200>("/sys/fs/cgroup/memory/memory.numa_stat");
  return made;
}

Timeline half_a_minute() {
  Timeline timeline;
  timeline.title = "a host";
  timeline.start = 100s;
  timeline.end = 130s;
  return timeline;
}

std::size_t count(const std::string& text, const std::string& what) {
  std::size_t found = 0;
  for (std::size_t at = text.find(what); at != std::string::npos; at = text.find(what, at + 1)) {
    ++found;
  }
  return found;
}

TEST(TimelinePicture, HasARowForEachCpuOnOneAxis) {
  Timeline timeline = half_a_minute();
  timeline.holds = {hold(5, 103s, 1100ms), hold(2, 115s, 3s, holds::Cause::other)};
  timeline.waits = {{holds::Wait::Kind::net_rx, 5, 103s, 104s}};
  const std::string svg = svg_of(timeline);
  EXPECT_LT(svg.find(">CPU 2<"), svg.find(">CPU 5<"));
  // 3 s of 30 s begin at a tenth of the 1,070 pixels.
  EXPECT_THAT(svg, HasSubstr("<rect x=\"217\" y=\"133\" width=\"40\" height=\"16\" class=\"h\">"
                             "<title>kubelet (4242): 1.1 s from 3 s, "
                             "/sys/fs/cgroup/memory/memory.numa_stat</title>"));
  EXPECT_THAT(svg, HasSubstr("height=\"16\" class=\"o\">"));
  EXPECT_THAT(svg, HasSubstr("class=\"w\"><title>received packets waited 1 s from 3 s</title>"));
  EXPECT_THAT(svg, HasSubstr(">25 s</text>"));
  EXPECT_THAT(svg, Not(HasSubstr("sent again")));
}

TEST(TimelinePicture, AddsUpTheSegmentsOfEachSecond) {
  Timeline timeline = half_a_minute();
  timeline.bursts = {{103s, 104s, 40, 0}, {103s, 104s, 2, 0}, {110s, 111s, 21, 0}};
  const std::string svg = svg_of(timeline);
  EXPECT_THAT(svg, HasSubstr(">42 segments sent again within 1 s from 3 s<"));
  EXPECT_THAT(svg, HasSubstr(">21 segments sent again within 1 s from 10 s<"));
  EXPECT_THAT(svg, HasSubstr(">max 42 in 1 s<"));
}

TEST(TimelinePicture, MergesMarksThatAreTooCloseToTellApart) {
  Timeline timeline = half_a_minute();
  timeline.holds = {hold(0, 103s, 5ms), hold(0, 103'010ms, 6ms), hold(0, 103'020ms, 5ms)};
  const std::string svg = svg_of(timeline);
  EXPECT_EQ(count(svg, "class=\"h\"><title>"), 1U);
  EXPECT_THAT(svg, HasSubstr(">3 times; the longest: kubelet (4242): 6 ms from 3.01 s,"));
}

TEST(TimelinePicture, EscapesTheNamesOfOthers) {
  Timeline timeline = half_a_minute();
  timeline.title = "<script>&\"";
  timeline.notes = {"]]><b>\n\xff"};
  holds::Hold named = hold(0, 103s, 1s);
  named.task.comm = holds::Text<16>("<a onload=\"\x01\"");
  timeline.holds = {named};
  const std::string svg = svg_of(timeline);
  EXPECT_THAT(svg, HasSubstr(">&lt;script&gt;&amp;&quot;<"));
  EXPECT_THAT(svg, HasSubstr(">]]&gt;&lt;b&gt;\\x0a\\xff<"));
  EXPECT_THAT(svg, HasSubstr("&lt;a onload=&quot;\\x01&quot; (4242)"));
}

TEST(TimelinePicture, IsBounded) {
  Timeline timeline = half_a_minute();
  for (std::uint32_t cpu = 0; cpu < 100; ++cpu) {
    for (int i = 0; i < 1000; ++i) {
      timeline.holds.push_back(hold(cpu, 100s + i * 30ms, 1ms * (cpu + 1)));
    }
  }
  timeline.notes.assign(1000, std::string(1000, 'x'));
  const std::string svg = svg_of(timeline);
  EXPECT_LT(svg.size(), 5'000'000U);
  EXPECT_THAT(svg, Not(HasSubstr(">CPU 67<")));
  EXPECT_THAT(svg, HasSubstr(">CPU 68<"));
}

TEST(TimelinePicture, OfAQuietHostSaysSo) {
  Timeline timeline = half_a_minute();
  timeline.end = timeline.start;
  timeline.bursts.emplace();
  const std::string svg = svg_of(timeline);
  EXPECT_THAT(svg, HasSubstr("no CPU was held"));
  EXPECT_THAT(svg, HasSubstr(">max 0 in 1 s<"));
}

}  // namespace timeline_test
