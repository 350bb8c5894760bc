// SPDX-FileCopyrightText: The cgctl authors
// SPDX-License-Identifier: MIT
#include "cgctl/recorder.hpp"

#include <gtest/gtest.h>

#include <algorithm>
#include <array>
#include <chrono>
#include <cstring>
#include <filesystem>
#include <string>
#include <vector>

#include "../support/made.hpp"
#include "../support/result.hpp"
#include "../support/temp_directory.hpp"
#include "detail/state_text.hpp"
#include "recorder/ledger.hpp"
#include "recorder/pages.hpp"

namespace recorder_test {

using namespace cgctl;
using namespace std::chrono_literals;
using recorder::Event;
using recorder::Format;
using recorder::Ledger;
using recorder::Maker;
using recorder::Page;
using recorder::PageFormat;
using recorder::Present;

// ---- the kernel's records ----

constexpr const char* format_of_6_18 =
    "name: cgroup_rmdir\nID: 543\nformat:\n"
    "\tfield:unsigned short common_type;\toffset:0;\tsize:2;\tsigned:0;\n"
    "\tfield:int common_pid;\toffset:4;\tsize:4;\tsigned:1;\n\n"
    "\tfield:int root;\toffset:8;\tsize:4;\tsigned:1;\n"
    "\tfield:int level;\toffset:12;\tsize:4;\tsigned:1;\n"
    "\tfield:u64 id;\toffset:16;\tsize:8;\tsigned:0;\n"
    "\tfield:__data_loc char[] path;\toffset:24;\tsize:4;\tsigned:0;\n\n"
    "print fmt: \"root=%d id=%llu level=%d path=%s\", REC->root\n";
constexpr const char* format_of_5_4 =
    "name: cgroup_rmdir\nID: 300\nformat:\n"
    "\tfield:int root;\toffset:8;\tsize:4;\tsigned:1;\n"
    "\tfield:int id;\toffset:12;\tsize:4;\tsigned:1;\n"
    "\tfield:int level;\toffset:16;\tsize:4;\tsigned:1;\n"
    "\tfield:__data_loc char[] path;\toffset:20;\tsize:4;\tsigned:1;\n";
constexpr const char* header_page =
    "\tfield: u64 timestamp;\toffset:0;\tsize:8;\tsigned:0;\n"
    "\tfield: local_t commit;\toffset:8;\tsize:8;\tsigned:1;\n"
    "\tfield: int overwrite;\toffset:8;\tsize:1;\tsigned:1;\n"
    "\tfield: char data;\toffset:16;\tsize:4080;\tsigned:0;\n";

const std::array<Format, 3> formats = {{{544, 16, 8, 24}, {543, 16, 8, 24}, {542, 16, 8, 24}}};
const PageFormat page_format = {8, 8, 16};

template <class T>
std::string bytes_of(T value) {
  return {reinterpret_cast<const char*>(&value), sizeof value};
}

/// The first word of a record.
std::string head(unsigned type, std::uint32_t delta) {
#if __BYTE_ORDER__ == __ORDER_BIG_ENDIAN__
  return bytes_of(type << 27U | delta);
#else
  return bytes_of(delta << 5U | type);
#endif
}

/// A record of an event; `kind` is an index of `formats`.
std::string record(std::size_t kind, std::uint64_t id, std::string path, std::uint32_t delta) {
  path += '\0';
  const auto length = static_cast<std::uint32_t>(path.size());
  std::string data = bytes_of(formats.at(kind).type) + std::string(14, '\0') + bytes_of(id) +
                     bytes_of(length << 16U | 28U) + path;
  data.resize((data.size() + 3) / 4 * 4);
  const auto words = static_cast<unsigned>(data.size() / 4);
  if (words <= 28) return head(words, delta) + data;
  return head(0, delta) + bytes_of(static_cast<std::uint32_t>(data.size() + 4)) + data;
}

std::string page_of(const std::string& data, std::uint64_t flags = 0,
                    const std::string& rest = {}) {
  std::string page = bytes_of(std::uint64_t{1000}) + bytes_of(data.size() | flags) + data + rest;
  page.resize(std::max<std::size_t>(page.size(), 4096));
  return page;
}

Page parsed(const std::string& bytes) {
  Page page;
  parse_page(bytes, page_format, formats, page);
  return page;
}

TEST(RecorderPages, FormatsAreReadFromEachKernel) {
  const auto now = recorder::parse_format(format_of_6_18);
  ASSERT_TRUE(now);
  EXPECT_EQ(now->type, 543);
  EXPECT_EQ(now->id_at, 16U);
  EXPECT_EQ(now->id_size, 8U);
  EXPECT_EQ(now->path_at, 24U);
  const auto then = recorder::parse_format(format_of_5_4);
  ASSERT_TRUE(then);
  EXPECT_EQ(then->id_at, 12U);
  EXPECT_EQ(then->id_size, 4U);
  const auto header = recorder::parse_header_page(header_page);
  ASSERT_TRUE(header);
  EXPECT_EQ(header->commit_at, 8U);
  EXPECT_EQ(header->data_at, 16U);
}

TEST(RecorderPages, AFormatThatBreaksOffIsNone) {
  const std::string text = format_of_6_18;
  const std::size_t end = text.find(";\tsigned:0;\n\nprint");
  for (std::size_t size = 0; size < end; ++size) {
    EXPECT_FALSE(recorder::parse_format(text.substr(0, size))) << size;
  }
}

TEST(RecorderPages, RecordsHaveNamesOfAnyBytes) {
  const std::string hostile = "/a b\n\x1b[2J: cgroup_rmdir: root=4 id=1 path=/x\xe2\x80\xae%s\\n";
  const std::string long_path = "/" + std::string(2000, 'x');
  const std::string bytes = page_of(record(0, 7, "/a", 5) + record(1, 7, hostile, 10) +
                                    record(2, 8, long_path, 0) + record(1, 9, "", 1));
  const Page page = parsed(bytes);
  EXPECT_TRUE(page.whole);
  EXPECT_EQ(page.lost, 0U);
  ASSERT_EQ(page.events.size(), 4U);
  EXPECT_EQ(page.events[0].kind, Event::Kind::made);
  EXPECT_EQ(page.events[0].at, 1005ns);
  EXPECT_EQ(page.events[1].kind, Event::Kind::removed);
  EXPECT_EQ(page.events[1].at, 1015ns);
  EXPECT_EQ(page.events[1].id, 7U);
  EXPECT_EQ(page.events[1].path, hostile);
  EXPECT_EQ(page.events[2].kind, Event::Kind::released);
  EXPECT_EQ(page.events[2].path, long_path);
  EXPECT_EQ(page.events[3].path, "");
}

TEST(RecorderPages, TimesAndPaddingBetweenRecords) {
  const std::string far = head(30, 3) + bytes_of(std::uint32_t{2});           // 2 << 27 and 3
  const std::string exact = head(31, 6) + bytes_of(std::uint32_t{1} << 10U);  // 2^37 + 6
  const std::string discarded = head(29, 1) + bytes_of(std::uint32_t{8}) + "junk";
  const Page page =
      parsed(page_of(far + record(1, 1, "/a", 0) + discarded + record(1, 2, "/b", 0) + exact +
                     record(1, 3, "/c", 0) + head(29, 0) + record(1, 4, "/not read", 0)));
  EXPECT_TRUE(page.whole);
  ASSERT_EQ(page.events.size(), 3U);
  EXPECT_EQ(page.events[0].at.count(), 1000 + (2LL << 27U) + 3);
  EXPECT_EQ(page.events[1].at.count(), 1000 + (2LL << 27U) + 4);
  EXPECT_EQ(page.events[2].at.count(), (1LL << 37U) + 6);
}

TEST(RecorderPages, LostRecordsAreCounted) {
  const std::string data = record(1, 1, "/a", 0);
  EXPECT_EQ(parsed(page_of(data, 1ULL << 31U)).lost, 1U);
  EXPECT_EQ(parsed(page_of(data, 3ULL << 30U, bytes_of(std::uint64_t{42}))).lost, 42U);
}

TEST(RecorderPages, APageCutAnywhereGivesOnlyItsWholeRecords) {
  const std::string data = record(0, 7, "/a", 5) + record(1, 7, "/a", 10) + record(2, 7, "/a", 0);
  const std::string page = page_of(data).substr(0, 16 + data.size());
  for (std::size_t size = 0; size < page.size(); ++size) {
    const Page got = parsed(page.substr(0, size));
    EXPECT_FALSE(got.whole) << size;
    EXPECT_LT(got.events.size(), 3U);
  }
}

TEST(RecorderPages, AnyBytesAreSafe) {
  std::uint64_t random = 1;
  const std::string page = page_of(record(0, 7, "/abc", 5) + record(1, 7, "/a", 10) +
                                   record(2, 8, std::string(300, 'x'), 1));
  for (int round = 0; round < 20000; ++round) {
    std::string bad = page.substr(0, 512);
    for (int i = 0; i < 4; ++i) {
      random = random * 6364136223846793005U + 1442695040888963407U;
      bad[(random >> 33U) % bad.size()] = static_cast<char>(random >> 56U);
    }
    for (const Event& event : parsed(bad).events) EXPECT_LE(event.path.size(), bad.size());
  }
}

// ---- the ledger ----

const workload::Pods no_pods;

Event made(std::uint64_t id, std::chrono::nanoseconds at) {
  return {Event::Kind::made, at, id, {}};
}
Event removed(std::uint64_t id, std::chrono::nanoseconds at, std::string_view path) {
  return {Event::Kind::removed, at, id, path};
}
Event released(std::uint64_t id, std::chrono::nanoseconds at) {
  return {Event::Kind::released, at, id, {}};
}

void add(Ledger& ledger, const std::vector<Event>& batch, std::chrono::nanoseconds begun = 1h) {
  recorder::add(ledger, batch, begun, no_pods);
}

const Maker* maker_named(const Ledger& ledger, std::string_view pattern) {
  for (const Maker& maker : ledger.makers) {
    if (maker.pattern == pattern) return &maker;
  }
  return nullptr;
}

Ledger sample() {
  Ledger ledger;
  ledger.instance = 0xabcdef;
  ledger.since = 1s;
  ledger.consumed = 12;
  add(ledger, {made(1, 1s), removed(1, 2s, "/system.slice/run-r0123456789abcdef.scope"),
               removed(2, 62s, "/system.slice/run-r0123456789abcdff.scope"),
               removed(3, 63s, "/batch/job-1"), removed(4, 64s, "/we%ird \n\x1b\xff/- -"),
               removed(5, 65s, "-"), released(1, 66s)});
  ledger.written = 70s;
  return ledger;
}

TEST(Ledger, GroupsRemovalsByMaker) {
  const Ledger ledger = sample();
  EXPECT_EQ(ledger.removals(), 5U);
  ASSERT_EQ(ledger.dead.size(), 4U);
  const Maker* const run = maker_named(ledger, "run-r*.scope");
  ASSERT_NE(run, nullptr);
  EXPECT_EQ(run->removals, 2U);
  EXPECT_EQ(run->released, 1U);
  EXPECT_EQ(run->least_dead(), 1U);
  EXPECT_EQ(run->first, 2s);
  EXPECT_EQ(run->last, 62s);
  EXPECT_EQ(run->interval(), 60s);
  EXPECT_EQ(run->example, "/system.slice/run-r0123456789abcdff.scope");
  ASSERT_NE(maker_named(ledger, "/batch/job-*"), nullptr);
  EXPECT_FALSE(maker_named(ledger, "/batch/job-*")->interval());
  ASSERT_NE(ledger.find(3), nullptr);
  EXPECT_EQ(ledger.find(3)->path, "/batch/job-1");
  EXPECT_EQ(ledger.find(3)->at, 63s);
  EXPECT_EQ(ledger.find(1), nullptr);
}

TEST(Ledger, AReleaseMayBeReadBeforeTheRemoval) {
  Ledger ledger;
  add(ledger, {released(7, 11s), released(8, 9s)}, 10s);
  EXPECT_EQ(ledger.early.size(), 1U);
  add(ledger, {removed(7, 10s, "/a"), removed(8, 20s, "/b")}, 30s);
  EXPECT_TRUE(ledger.early.empty());
  ASSERT_EQ(ledger.dead.size(), 1U);
  EXPECT_EQ(ledger.dead[0].id, 8U);
  // A release without any removal: the cgroup was removed before the recording began.
  add(ledger, {released(9, 31s)}, 30s);
  add(ledger, {}, 40s);
  EXPECT_TRUE(ledger.early.empty());
}

TEST(Ledger, AnIdThatIsUsedAgainWasReleased) {
  Ledger ledger;
  ledger.inodes = false;
  add(ledger, {removed(7, 1s, "/a"), made(7, 2s), removed(7, 3s, "/a"), removed(7, 4s, "/a")});
  EXPECT_EQ(ledger.dead.size(), 1U);
  EXPECT_EQ(maker_named(ledger, "/a")->removals, 3U);
  EXPECT_EQ(maker_named(ledger, "/a")->released, 2U);
  EXPECT_EQ(ledger.find(7), nullptr) << "the ID is no inode";
}

TEST(Ledger, KeepsTheNewestOfTheDead) {
  Ledger ledger;
  const std::uint64_t number = recorder::most_dead + 10;
  for (std::uint64_t id = 1; id <= number; ++id) add(ledger, {removed(id, 1s, "/a/b-1")});
  EXPECT_EQ(ledger.dead.size(), recorder::most_dead);
  EXPECT_EQ(ledger.dead.front().id, 11U);
  EXPECT_EQ(ledger.makers[1].forgotten, 10U);
  add(ledger, {released(5, 2s), released(number, 3s)});
  EXPECT_EQ(ledger.makers[1].least_dead(), recorder::most_dead - 1);
  EXPECT_EQ(ledger.makers[1].most_dead(), number - 1);
}

TEST(Ledger, WithoutReleasesNobodyIsSaidToBeAZombie) {
  Ledger ledger;
  ledger.releases = false;
  add(ledger, {removed(7, 1s, "/a/b-1"), removed(0, 2s, "/a/b-2"), removed(0, 3s, "/a/b-3"),
               removed(7, 4s, "/a/b-4")});
  EXPECT_EQ(ledger.makers[1].removals, 4U);
  EXPECT_EQ(ledger.makers[1].released, 0U);
  EXPECT_EQ(ledger.makers[1].least_dead(), 0U);
  EXPECT_EQ(ledger.makers[1].most_dead(), 4U);
  ASSERT_EQ(ledger.dead.size(), 3U) << "an inode is used again only after its release";
  EXPECT_EQ(ledger.find(7)->at, 4s);
  ledger.written = 5s;
  const auto read = recorder::ledger_from_text(to_text(ledger, {"boot-1", 5s}), {"boot-1", 5s});
  ASSERT_TRUE(read);
  EXPECT_FALSE(read->releases);
  EXPECT_TRUE(read->inodes);
  for (std::uint64_t id = 100; ledger.dead.size() < recorder::most_dead; ++id) {
    add(ledger, {removed(id, 5s, "/a/b-5")});
  }
  add(ledger, {removed(8, 6s, "/a/b-6")});
  EXPECT_EQ(ledger.dead.size(), recorder::most_dead);
  EXPECT_EQ(ledger.makers[1].forgotten, ledger.makers[1].removals);
}

/// Names without digits, which would be the same pattern.
std::string letters(std::uint64_t number) {
  std::string text = "/";
  for (; number != 0; number /= 20) text += static_cast<char>('g' + number % 20);
  return text;
}

TEST(Ledger, TheRarestMakerGivesWay) {
  Ledger ledger;
  std::uint64_t id = 0;
  for (int i = 0; i < 5; ++i) add(ledger, {removed(++id, 1s, "/often")});
  for (std::uint64_t i = 1; i <= 1000; ++i) add(ledger, {removed(++id, 2s, letters(i))});
  EXPECT_EQ(ledger.makers.size(), recorder::most_makers);
  ASSERT_NE(maker_named(ledger, "/often"), nullptr);
  EXPECT_EQ(maker_named(ledger, "/often")->removals, 5U);
  EXPECT_EQ(ledger.removals(), 1005U);
  EXPECT_EQ(ledger.makers[0].pattern, "");
  EXPECT_EQ(ledger.makers[0].removals, 1005 - 5 - (recorder::most_makers - 2));
  std::vector<std::uint64_t> dead(ledger.makers.size());
  for (const recorder::Removed& one : ledger.dead) ++dead.at(one.maker);
  for (std::size_t i = 0; i < dead.size(); ++i) EXPECT_EQ(dead[i], ledger.makers[i].least_dead());
}

// ---- its text ----

const Present now = {"boot-1", 100s};

std::string written(const Ledger& ledger) { return to_text(ledger, {"boot-1", ledger.written}); }

TEST(LedgerText, RoundTrip) {
  Ledger ledger = sample();
  add(ledger, {released(77, 68s)}, 67s);
  ASSERT_EQ(ledger.early.size(), 1U);
  const std::string text = written(ledger);
  const auto read = recorder::ledger_from_text(text, now);
  ASSERT_TRUE(read);
  EXPECT_EQ(written(*read), text);
  EXPECT_EQ(read->find(4)->path, "/we%ird \n\x1b\xff/- -");
  EXPECT_EQ(read->find(5)->path, "-");
  EXPECT_EQ(read->instance, 0xabcdefU);
  EXPECT_EQ(read->early[0].at, 68s);
  EXPECT_TRUE(recorder::ledger_from_text(written(Ledger()), now));
}

TEST(LedgerText, CutOrChangedAnywhereItIsNone) {
  const std::string text = written(sample());
  for (std::size_t i = 0; i < text.size(); ++i) {
    EXPECT_FALSE(recorder::ledger_from_text(text.substr(0, i), now)) << i;
    std::string changed = text;
    changed[i] = static_cast<char>(changed[i] ^ 1);
    EXPECT_FALSE(recorder::ledger_from_text(changed, now)) << i;
  }
}

TEST(LedgerText, AnEarlierBootCountsAsEmpty) {
  const auto read = recorder::ledger_from_text(written(sample()), {"boot-2", 1s});
  ASSERT_TRUE(read);
  EXPECT_TRUE(read->empty());
  EXPECT_TRUE(read->dead.empty());
}

TEST(LedgerText, ATimeInTheFutureIsRefused) {
  EXPECT_FALSE(recorder::ledger_from_text(written(sample()), {"boot-1", 69s}));
  Ledger ledger = sample();
  ledger.written = 63s;
  EXPECT_FALSE(recorder::ledger_from_text(written(ledger), now));
}

TEST(LedgerText, PartsThatDoNotFitAreRefused) {
  Ledger ledger = sample();
  ledger.makers[1].released = 3;
  EXPECT_FALSE(recorder::ledger_from_text(written(ledger), now));
  ledger = sample();
  ledger.dead[0].maker = ledger.makers.size();
  EXPECT_FALSE(recorder::ledger_from_text(written(ledger), now));
}

TEST(LedgerText, HasABoundWhateverTheNames) {
  Ledger ledger;
  std::uint64_t id = 0xffffffffff000000;
  for (int i = 0; i < 9000; ++i) {
    // Each byte takes three in the text.
    const std::string path = letters(static_cast<std::uint64_t>(i) % 300 + 1) +
                             std::string(200, '\x01') + std::string(3000, '\xff');
    add(ledger, {removed(++id, 1s, path)});
  }
  ledger.written = 10s;
  ledger.makers[0].removals += 900'000'000'000;
  const std::string text = written(ledger);
  EXPECT_LE(text.size(), std::size_t{256} << 10U);
  const auto read = recorder::ledger_from_text(text, now);
  ASSERT_TRUE(read);
  EXPECT_EQ(read->dead.size(), recorder::most_dead);
  EXPECT_EQ(read->dead.front().path, "");
  EXPECT_EQ(read->removals(), ledger.removals());
  for (const Maker& maker : read->makers) {
    EXPECT_LE(maker.pattern.size(), recorder::longest_pattern);
    EXPECT_LE(maker.example.size(), recorder::longest_example);
  }
}

// ---- the first sightings of removed cgroups ----

class FirstSeen : public ::testing::Test {
 protected:
  FirstSeen() {
    machine_.put_v1("memory");
    put_boot("boot-1");
  }
  void put_boot(const char* boot) const {
    machine_.put("proc/sys/kernel/random/boot_id", std::string(boot) + "\n");
  }
  /// Writes a file of the boot "boot-1" with these lines.
  void put_seen(const std::string& lines) const {
    const std::string text = "cgctl seen 1\nboot boot-1 5\n" + lines;
    test::put_file(directory_ + "/seen", text + detail::checksum_line(text));
  }
  std::vector<recorder::Seen> note(const std::vector<std::uint64_t>& serials) const {
    return test::must(recorder::note_dead(test::must(machine_.host()), directory_, serials));
  }
  /// Returns the times at which these cgroups were first seen, as far as the file has them; 0 for
  /// others.
  [[nodiscard]] std::vector<std::int64_t> times(const std::vector<std::uint64_t>& serials) const {
    std::vector<std::int64_t> times;
    for (const recorder::Seen& one : note(serials)) {
      times.push_back(one.at > 5s ? 0 : one.at.count());
    }
    return times;
  }

  const test::MadeMachine machine_{test::v1_mount("/sys/fs/cgroup/memory", "memory")};
  const test::TempDirectory temp_;
  const std::string directory_ = temp_ / "state";
};

using Times = std::vector<std::int64_t>;

TEST_F(FirstSeen, TheTimeOfTheFirstSightingStays) {
  EXPECT_EQ(times({3, 4}), (Times{0, 0}));
  put_seen("seen 3 1\nseen 7 4\nseen 9 5\n");
  EXPECT_EQ(times({3, 4, 9}), (Times{1, 0, 5}));
  EXPECT_EQ(times({3, 7, 9}), (Times{1, 0, 5})) << "7 was no longer there in between";
  EXPECT_EQ(times({}), Times());
  EXPECT_EQ(times({3}), Times{0});
}

TEST_F(FirstSeen, AnotherBootBeginsAnew) {
  note({3});
  put_seen("seen 3 1\n");
  put_boot("boot-2");
  EXPECT_EQ(times({3}), Times{0});
}

TEST_F(FirstSeen, AFileThatIsSomethingElseIsRenamed) {
  note({3});
  for (const char* const wrong : {"seen 3 6\n", "seen 4 1\nseen 3 1\n", "seen 3\n", "else\n"}) {
    put_seen(wrong);
    EXPECT_EQ(times({3}), Times{0}) << wrong;
    EXPECT_TRUE(std::filesystem::remove(directory_ + "/seen.corrupt")) << wrong;
  }
}

TEST_F(FirstSeen, KeepsThoseSeenFirst) {
  constexpr std::uint64_t most = 8192;
  std::string lines;
  std::vector<std::uint64_t> serials;
  for (std::uint64_t i = 1; i <= most; ++i) {
    lines += "seen " + std::to_string(2 * i) + " 1\n";
    serials.push_back(2 * i - 1);
    serials.push_back(2 * i);
  }
  note({});
  put_seen(lines);
  for (int round = 0; round < 2; ++round) {
    const Times found = times(serials);
    ASSERT_EQ(found.size(), 2 * most);
    EXPECT_EQ(std::count(found.begin(), found.end(), 1), static_cast<std::ptrdiff_t>(most));
    EXPECT_EQ(found[1], 1);
  }
}

}  // namespace recorder_test
