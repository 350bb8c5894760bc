// SPDX-FileCopyrightText: The cgctl authors
// SPDX-License-Identifier: MIT
#include "cgctl/memory_stat.hpp"

#include <gtest/gtest.h>

#include <filesystem>
#include <map>
#include <sstream>
#include <string>

#include "../support/captures.hpp"
#include "../support/result.hpp"
#include "cgctl/group.hpp"
#include "cgctl/parse.hpp"

namespace memory_stat_test {

using namespace cgctl;
using namespace cgctl::memory;
using cgctl::test::fails;
using cgctl::test::must;
using cgctl::test::ok;

TEST(MemoryStat, OnV1OnlyTotalsIncludeChildren) {
  Stat stat;
  ASSERT_TRUE(ok(
      memory::parse("cache 1\nrss 2\nhierarchical_memory_limit 9\ntotal_cache 10\ntotal_rss 20\n",
                    Version::v1, stat)));
  EXPECT_EQ(stat[Key::cache], 10U);
  EXPECT_EQ(stat.local(Key::cache), 1U);
  EXPECT_EQ(stat.local(Key::rss), 2U);
  EXPECT_EQ(stat[Key::hierarchical_memory_limit], 9U);
  EXPECT_FALSE(stat[Key::anon]);
  EXPECT_FALSE(stat.local(Key::anon));
}

TEST(MemoryStat, OnV2AllLinesIncludeChildren) {
  Stat stat;
  ASSERT_TRUE(ok(memory::parse("anon 1\nfile 2\npgfault 3\n", Version::v2, stat)));
  EXPECT_EQ(stat[Key::file], 2U);
  EXPECT_FALSE(stat.local(Key::file));
}

TEST(MemoryStat, UnknownLinesAreKept) {
  Stat stat;
  ASSERT_TRUE(
      ok(memory::parse("anon 1\nvendor_thing 77\nfile 2\ntotal_of_v1 5\n", Version::v2, stat)));
  ASSERT_EQ(stat.unknown_count(), 2U);
  EXPECT_EQ(stat.unknown(0).name, "vendor_thing");
  EXPECT_EQ(stat.unknown(0).value, 77U);
  EXPECT_EQ(stat.unknown(1).name, "total_of_v1");
  std::string all;
  stat.each([&all](std::string_view name, std::uint64_t value) {
    all += std::string(name) + "=" + std::to_string(value) + " ";
  });
  EXPECT_EQ(all, "anon=1 vendor_thing=77 file=2 total_of_v1=5 ");
}

TEST(MemoryStat, FiguresOfAnotherSourceReplaceThoseOfTheFile) {
  Stat stat;
  ASSERT_TRUE(ok(memory::parse("cache 1\ntotal_cache 10\nnew 3\n", Version::v1, stat)));
  const Stat::Figure figures[] = {{Key::swap, 5}, {Key::shmem, 6}};
  const auto all = [&stat] {
    std::string text;
    stat.each([&text](std::string_view name, std::uint64_t value) {
      text += std::string(name) + " " + std::to_string(value) + "\n";
    });
    return text;
  };
  stat.assign(Version::v1, figures, 2);
  EXPECT_EQ(all(), "total_swap 5\ntotal_shmem 6\n");
  EXPECT_EQ(stat[Key::swap], 5U);
  EXPECT_FALSE(stat[Key::cache]);
  EXPECT_FALSE(stat.local(Key::swap));
  EXPECT_EQ(stat.unknown_count(), 0U);
  stat.assign(Version::v2, figures + 1, 1);
  EXPECT_EQ(all(), "shmem 6\n");
  EXPECT_FALSE(stat[Key::swap]);
  // The next text has the same lines, and then others.
  ASSERT_TRUE(ok(memory::parse("shmem 7\n", Version::v2, stat)));
  EXPECT_EQ(stat[Key::shmem], 7U);
  stat.assign(Version::v2, figures, 2);
  ASSERT_TRUE(ok(memory::parse("anon 8\n", Version::v2, stat)));
  EXPECT_EQ(all(), "anon 8\n");
  EXPECT_FALSE(stat[Key::shmem]);
}

TEST(MemoryStat, ANameThatComesTwiceIsUnknownTheSecondTime) {
  Stat stat;
  ASSERT_TRUE(ok(memory::parse("anon 1\nanon 2\n", Version::v2, stat)));
  EXPECT_EQ(stat[Key::anon], 1U);
  EXPECT_EQ(stat.unknown_count(), 1U);
}

TEST(MemoryStat, AKeyMissingInALaterTextIsAbsent) {
  Stat stat;
  ASSERT_TRUE(ok(memory::parse("anon 1\nfile 2\nkernel 3\n", Version::v2, stat)));
  ASSERT_TRUE(ok(memory::parse("anon 1\nfiles 2\n", Version::v2, stat)));
  EXPECT_FALSE(stat[Key::file]);
  EXPECT_FALSE(stat[Key::kernel]);
  EXPECT_EQ(stat.unknown_count(), 1U);
  ASSERT_TRUE(ok(memory::parse("anon 4\nfile 5\nkernel 6\nslab 7\n", Version::v2, stat)));
  EXPECT_EQ(stat[Key::slab], 7U);
  EXPECT_EQ(stat.unknown_count(), 0U);
}

TEST(MemoryStat, TheSameLinesHaveOtherMeaningsOnTheOtherVersion) {
  Stat stat;
  const std::string_view text = "swap 1\ntotal_swap 2\n";
  ASSERT_TRUE(ok(memory::parse(text, Version::v1, stat)));
  EXPECT_EQ(stat[Key::swap], 2U);
  EXPECT_EQ(stat.local(Key::swap), 1U);
  ASSERT_TRUE(ok(memory::parse(text, Version::v2, stat)));
  EXPECT_EQ(stat[Key::swap], 1U);
  EXPECT_FALSE(stat.local(Key::swap));
  EXPECT_EQ(stat.unknown_count(), 1U);
}

TEST(MemoryStat, TheLargestNumberFits) {
  Stat stat;
  ASSERT_TRUE(ok(memory::parse("anon 18446744073709551615\n", Version::v2, stat)));
  EXPECT_EQ(stat[Key::anon], ~std::uint64_t{0});
}

using Values = std::map<std::string, std::uint64_t, std::less<>>;

Values values_of(const Stat& stat) {
  Values values;
  stat.each([&values](std::string_view name, std::uint64_t value) { values.emplace(name, value); });
  return values;
}

TEST(MemoryStat, ALineOfAnotherFormIsSkippedAndCounted) {
  for (const char* const line : {"cache -4096\n", "cache\n", "cache \n", "cache x\n", "cache 1 2\n",
                                 "\n", " 1\n", "cache=1\n", "cache 18446744073709551616\n"}) {
    Stat stat;
    ASSERT_TRUE(
        ok(memory::parse("rss 1\n" + std::string(line) + "total_rss 2\n", Version::v1, stat)));
    EXPECT_EQ(stat.skipped_lines(), 1U) << line;
    EXPECT_FALSE(stat.local(Key::cache)) << line;
    EXPECT_EQ(stat[Key::rss], 2U) << line;
    EXPECT_EQ(values_of(stat), (Values{{"rss", 1}, {"total_rss", 2}})) << line;
  }
}

TEST(MemoryStat, ALineMayLoseItsNumberAndHaveItAgain) {
  Stat stat;
  const auto read = [&stat](const char* text) {
    return must(memory::parse(text, Version::v2, stat)), values_of(stat);
  };
  EXPECT_EQ(read("anon 1\nfile 2\n"), (Values{{"anon", 1}, {"file", 2}}));
  EXPECT_EQ(read("anon -1\nfile 3\n"), (Values{{"file", 3}}));
  EXPECT_EQ(read("anon -2\nfile 4\n"), (Values{{"file", 4}}));
  EXPECT_FALSE(stat[Key::anon]);
  EXPECT_EQ(stat.skipped_lines(), 1U);
  EXPECT_EQ(read("anon 5\nfile 6\n"), (Values{{"anon", 5}, {"file", 6}}));
  EXPECT_EQ(stat.skipped_lines(), 0U);
  EXPECT_EQ(read("vendor\nfile 7\n"), (Values{{"file", 7}}));
  EXPECT_EQ(read("vendor_2 8\nfile 9\n"), (Values{{"vendor_2", 8}, {"file", 9}}));
}

TEST(MemoryStat, AMalformedTextIsAnErrorAndClearsTheResult) {
  Stat stat;
  ASSERT_TRUE(ok(memory::parse("anon 1\n", Version::v2, stat)));
  EXPECT_TRUE(fails(memory::parse("", Version::v2, stat), errc::truncated));
  EXPECT_FALSE(stat[Key::anon]);
  EXPECT_TRUE(fails(memory::parse("anon 1\nfile 2", Version::v2, stat), errc::truncated));
  for (const char* const text : {"anon\n", "anon \n", "anon x\n", "anon 1 2\n", "\n", " 1\n",
                                 "anon 18446744073709551616\n", "anon=1\n", "anon -1\nfile -2\n"}) {
    EXPECT_TRUE(fails(memory::parse(text, Version::v2, stat), errc::malformed)) << text;
    EXPECT_FALSE(stat[Key::anon]) << text;
  }
}

TEST(MemoryStat, EachKeyHasItsNameAndUnit) {
  for (std::size_t i = 0; i < key_count; ++i) {
    const Key key = static_cast<Key>(i);
    EXPECT_EQ(key_named(to_string(key)), key);
  }
  EXPECT_EQ(to_string(Key::workingset_refault_anon), "workingset_refault_anon");
  EXPECT_EQ(unit_of(Key::anon), Unit::bytes);
  EXPECT_EQ(unit_of(Key::pgfault), Unit::events);
  EXPECT_FALSE(key_named("total_cache"));
}

struct Tree {
  const char* tree;
};

class CapturedMemoryStat : public ::testing::TestWithParam<Tree> {};

/// Compares with a simple parser's result for the same text.
TEST_P(CapturedMemoryStat, EveryLineIsKnownAndHasItsValue) {
  namespace files = std::filesystem;
  const Host host = test::captured(GetParam().tree);
  const Version version = host.find("memory")->version;
  Stat stat;
  unsigned found = 0;
  for (const auto& entry :
       files::recursive_directory_iterator(test::captures() / GetParam().tree)) {
    if (entry.path().filename() != "memory.stat") continue;
    ++found;
    const std::string text = test::file_text(entry.path());
    ASSERT_TRUE(ok(memory::parse(text, version, stat))) << entry.path();
    EXPECT_EQ(stat.unknown_count(), 0U) << stat.unknown(0).name;
    std::istringstream lines(text);
    std::string again;
    stat.each([&again](std::string_view name, std::uint64_t value) {
      again += std::string(name) + " " + std::to_string(value) + "\n";
    });
    EXPECT_EQ(again, text);
    std::string name;
    for (std::uint64_t value = 0; lines >> name >> value;) {
      const bool total = name.rfind("total_", 0) == 0;
      const auto key = key_named(total ? name.substr(6) : name);
      ASSERT_TRUE(key) << name;
      const bool own = version == Version::v1 && !total && name.rfind("hierarchical_", 0) != 0;
      EXPECT_EQ(own ? stat.local(*key) : stat[*key], value) << name;
    }
  }
  EXPECT_GT(found, 0U);
}

INSTANTIATE_TEST_SUITE_P(
    Kernels, CapturedMemoryStat,
    ::testing::Values(Tree{"linux-5.4-v1-numa2/2-zombies"}, Tree{"linux-5.10-v1-numa2/2-zombies"},
                      Tree{"linux-5.10-v2-numa2/2-zombies"}, Tree{"linux-6.1-v1-numa2/2-zombies"},
                      Tree{"linux-6.1-v2-numa2/2-zombies"}, Tree{"linux-6.12-v2-numa2/2-zombies"},
                      Tree{"linux-6.18-hybrid/1-fresh"}, Tree{"linux-7.2-v2-numa2/2-zombies"}),
    test::ByTree());

TEST(MemoryStat, AReaderReadsAgainAndAgain) {
  const Host host = test::captured("linux-6.12-v2-numa2/2-zombies");
  const auto reader = must(StatReader::open(must(host.open("/kubepods.slice/pod-a"))));
  Stat stat;
  for (int again = 0; again < 3; ++again) {
    ASSERT_TRUE(ok(reader.read(stat)));
    EXPECT_TRUE(stat[Key::anon]);
    EXPECT_TRUE(stat[Key::pgscan_khugepaged]);
  }
}

TEST(MemoryStat, TheWorkingSetIsWithoutInactiveFilePages) {
  Stat stat;
  ASSERT_TRUE(ok(memory::parse("inactive_file 30\n", Version::v2, stat)));
  EXPECT_EQ(working_set(100, stat), 70U);
  EXPECT_EQ(working_set(20, stat), 0U);
}

}  // namespace memory_stat_test
