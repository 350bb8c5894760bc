// SPDX-FileCopyrightText: The cgctl authors
// SPDX-License-Identifier: MIT
#include "cgctl/trend.hpp"

#include <fcntl.h>
#include <gtest/gtest.h>
#include <unistd.h>

#include <array>
#include <chrono>
#include <filesystem>
#include <string>

#include "../support/temp_directory.hpp"
#include "history/points.hpp"

namespace trend_test {

using namespace cgctl::trend;
using namespace std::chrono_literals;
using cgctl::UniqueFd;
using std::chrono::seconds;

constexpr seconds now = 1'800'000'000s;  // the begin of a minute
constexpr std::size_t record_size = 96;

Point point_at(seconds at, std::uint32_t zombies) {
  Point point;
  point.at = at;
  point.zombies = zombies;
  return point;
}

class Trend : public testing::Test {
 protected:
  Ring open() const {
    auto ring = Ring::open(directory_.path().string());
    if (!ring) throw std::runtime_error(ring.error().message());
    return std::move(*ring);
  }
  Kept read(seconds at = now, seconds since = kept_for) const {
    auto kept = cgctl::trend::read(directory_.path().string(), at, since);
    if (!kept) throw std::runtime_error(kept.error().message());
    return std::move(*kept);
  }
  std::string path() const { return directory_ / "trend"; }
  /// Overwrites some bytes of the file.
  void spoil(off_t place, std::string_view bytes) const {
    const UniqueFd file(::open(path().c_str(), O_WRONLY | O_CLOEXEC));
    ASSERT_EQ(::pwrite(file.get(), bytes.data(), bytes.size(), place),
              static_cast<ssize_t>(bytes.size()));
  }
  static off_t place_of(seconds at) {
    return static_cast<off_t>((at.count() / 60 % kept_for.count() + 1) *
                              static_cast<std::int64_t>(record_size));
  }

  cgctl::test::TempDirectory directory_;
};

TEST_F(Trend, KeepsAllFiguresOfAPoint) {
  Point point = point_at(now + 59s, 1234);
  point.live = 56;
  point.read_cost = 789us;
  point.new_per_hour = 10;
  point.freed = 11;
  point.actions = 2;
  point.useless = 1;
  point.maker_zombies = 99;
  point.maker = std::string(100, 'x') + "/kubepods/burstable/pod*/runner";
  ASSERT_TRUE(open().add(point));
  const Kept kept = read(now + 59s);
  ASSERT_EQ(kept.points.size(), 1U);
  const Point& found = kept.points[0];
  EXPECT_EQ(found.at, now);
  EXPECT_EQ(found.zombies, 1234U);
  EXPECT_EQ(found.live, 56U);
  EXPECT_EQ(found.read_cost, 789us);
  EXPECT_EQ(found.new_per_hour, 10U);
  EXPECT_EQ(found.freed, 11U);
  EXPECT_EQ(found.actions, 2U);
  EXPECT_EQ(found.useless, 1U);
  EXPECT_EQ(found.maker_zombies, 99U);
  EXPECT_EQ(found.maker.size(), 56U);  // its end
  EXPECT_EQ(found.maker, point.maker.substr(point.maker.size() - 56));
}

TEST_F(Trend, AddsThePointsOfAMinute) {
  Point first = point_at(now, 10);
  first.actions = 1;
  first.freed = 5;
  first.read_cost = 9ms;
  Point second = point_at(now + 30s, 7);
  second.actions = 1;
  second.useless = 1;
  ASSERT_TRUE(open().add(first));
  ASSERT_TRUE(open().add(second));  // also after a restart
  const Kept kept = read(now + 30s);
  ASSERT_EQ(kept.points.size(), 1U);
  EXPECT_EQ(kept.points[0].zombies, 7U);
  EXPECT_EQ(kept.points[0].actions, 2U);
  EXPECT_EQ(kept.points[0].useless, 1U);
  EXPECT_EQ(kept.points[0].freed, 5U);
  EXPECT_EQ(kept.points[0].read_cost, 9ms);
}

TEST_F(Trend, ForgetsWhatIsOlderThanSevenDaysAndNeverGrows) {
  const Ring ring = open();
  const auto size = std::filesystem::file_size(path());
  EXPECT_LE(size, std::size_t{1} << 20U);
  const auto minutes = kept_for.count();
  for (std::int64_t i = -minutes / 2; i < minutes; ++i) {
    ASSERT_TRUE(
        ring.add(point_at(now - (minutes - 1 - i) * 60s, static_cast<std::uint32_t>(i + 9999))));
  }
  EXPECT_EQ(std::filesystem::file_size(path()), size);
  const Kept kept = read();
  ASSERT_EQ(kept.points.size(), static_cast<std::size_t>(minutes));
  EXPECT_EQ(kept.points.front().zombies, 9999U);
  EXPECT_EQ(kept.points.back().at, now);
  EXPECT_EQ(kept.damaged, 0U);
  EXPECT_EQ(read(now, 1h).points.size(), 60U);
  // After three days without a daemon, four days are left.
  EXPECT_EQ(read(now + 72h).points.size(), static_cast<std::size_t>(minutes - 72 * 60));
  EXPECT_TRUE(read(now + 24h * 30).points.empty());
}

TEST_F(Trend, LeavesOutAPointThatWasWrittenPartly) {
  const Ring ring = open();
  for (int i = 0; i < 3; ++i) ASSERT_TRUE(ring.add(point_at(now - i * 60s, 5)));
  spoil(place_of(now - 60s) + 50, "torn");
  spoil(place_of(now - 600s) + 20, "garbage where no point was");
  const Kept kept = read();
  EXPECT_EQ(kept.points.size(), 2U);
  EXPECT_EQ(kept.damaged, 2U);
  ASSERT_TRUE(ring.add(point_at(now - 60s, 6)));  // in its place
  EXPECT_EQ(read().points.size(), 3U);
}

TEST_F(Trend, RefusesAPointInThePlaceOfAnother) {
  const Ring ring = open();
  ASSERT_TRUE(ring.add(point_at(now, 5)));
  std::array<char, record_size> bytes{};
  const UniqueFd file(::open(path().c_str(), O_RDONLY | O_CLOEXEC));
  ASSERT_EQ(::pread(file.get(), bytes.data(), bytes.size(), place_of(now)),
            static_cast<ssize_t>(bytes.size()));
  spoil(place_of(now - 60s), {bytes.data(), bytes.size()});
  EXPECT_EQ(read().points.size(), 1U);
  EXPECT_EQ(read().damaged, 1U);
}

TEST_F(Trend, LeavesOutTheFutureIfTheClockWentBack) {
  const Ring ring = open();
  ASSERT_TRUE(ring.add(point_at(now, 5)));
  ASSERT_TRUE(ring.add(point_at(now - 3600s, 6)));
  const Kept kept = read(now - 3600s);
  ASSERT_EQ(kept.points.size(), 1U);
  EXPECT_EQ(kept.points[0].zombies, 6U);
  EXPECT_EQ(kept.future, 1U);
  ASSERT_TRUE(ring.add(point_at(-5s, 7)));  // a clock before 1970 does not harm
}

TEST_F(Trend, SetsAsideAFileOfAnotherKind) {
  std::filesystem::create_directory(path());
  EXPECT_NE(open().warning().find("is kept as " + path() + ".corrupt"), std::string::npos);
  (void)open().add(point_at(now, 5));
  EXPECT_EQ(open().warning(), "");
  spoil(0, "cgctl trend 2");  // of another cgctl
  EXPECT_EQ(cgctl::trend::read(directory_.path().string(), now).error().kind,
            cgctl::errc::malformed);
  EXPECT_NE(open().warning(), "");
  EXPECT_TRUE(read().points.empty());
  std::filesystem::resize_file(path(), 1000);  // cut off
  EXPECT_EQ(cgctl::trend::read(directory_.path().string(), now).error().kind,
            cgctl::errc::malformed);
  EXPECT_NE(open().warning(), "");
  std::filesystem::remove(path());
  std::filesystem::create_symlink("/etc/passwd", path());
  EXPECT_EQ(cgctl::trend::read(directory_.path().string(), now).error().kind,
            cgctl::errc::malformed);
  EXPECT_NE(open().warning(), "");
}

TEST_F(Trend, SaysThatThereIsNone) {
  EXPECT_EQ(cgctl::trend::read(directory_.path().string(), now).error().os_errno, ENOENT);
}

TEST(Points, AreMadeCoarserByTheirHighestFigures) {
  std::vector<Point> points;
  for (int i = 0; i < 60; ++i) {
    points.push_back(point_at(now + i * 60s, static_cast<std::uint32_t>(i)));
    points.back().actions = 1;
  }
  const auto parts = cgctl::tool::coarser(points, now, now + 3600s, 6);
  ASSERT_EQ(parts.size(), 6U);
  EXPECT_EQ(parts[0].at, now);
  EXPECT_EQ(parts[0].zombies, 9U);
  EXPECT_EQ(parts[5].at, now + 3000s);
  EXPECT_EQ(parts[5].zombies, 59U);
  EXPECT_EQ(parts[5].actions, 10U);
  EXPECT_TRUE(cgctl::tool::coarser({}, now, now + 1h, 6).empty());
}

TEST(Points, AreDrawnWithinABound) {
  std::vector<Point> points;
  for (int i = 0; i < 10080; ++i) points.push_back(point_at(now + i * 60s, 100));
  points[0].maker = "<&\"";
  points[0].actions = 1;
  const std::string picture = cgctl::tool::svg_of(points, now, now + kept_for, "a <host>");
  EXPECT_LT(picture.size(), std::size_t{1} << 20U);
  EXPECT_NE(picture.find("a &lt;host&gt;"), std::string::npos);
  EXPECT_EQ(cgctl::tool::svg_of({}, now, now, "none").find("nan"), std::string::npos);
}

}  // namespace trend_test
