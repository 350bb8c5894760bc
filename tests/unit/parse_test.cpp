// SPDX-FileCopyrightText: The cgctl authors
// SPDX-License-Identifier: MIT
#include "cgctl/parse.hpp"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <string>
#include <utility>
#include <vector>

#include "../support/captures.hpp"

namespace parse_test {

using namespace cgctl;
using ::testing::ElementsAre;
using ::testing::IsEmpty;
using ::testing::Pair;

constexpr std::uint64_t greatest = std::numeric_limits<std::uint64_t>::max();

TEST(ParseNumber, TakesTheDigitsAtTheHeadAndLeavesTheRest) {
  std::string_view text = "5898 N1=7";
  std::uint64_t value = 0;
  ASSERT_TRUE(parse::number(text, value));
  EXPECT_EQ(value, 5898U);
  EXPECT_EQ(text, " N1=7");
}

TEST(ParseNumber, LeavesTheTextAloneWhereThereIsNoDigit) {
  for (const std::string_view none : {"", " 5", "-5", "+5", "x5", "/", ":", "\n"}) {
    std::string_view text = none;
    std::uint64_t value = 17;
    EXPECT_FALSE(parse::number(text, value)) << none;
    EXPECT_EQ(text, none);
    EXPECT_EQ(value, 17U);
  }
}

TEST(ParseNumber, AcceptsTheLargestNumberAndRefusesTheNext) {
  for (const std::string_view fits :
       {"18446744073709551615", "00000000000000000018446744073709551615", "9999999999999999999",
        "0", "000"}) {
    std::string_view text = fits;
    std::uint64_t value = 0;
    EXPECT_TRUE(parse::number(text, value)) << fits;
    EXPECT_TRUE(text.empty());
    EXPECT_EQ(std::to_string(value), fits.find_first_not_of('0') == std::string_view::npos
                                         ? "0"
                                         : fits.substr(fits.find_first_not_of('0')));
  }
  for (const std::string_view too_great :
       {"18446744073709551616", "18446744073709551620", "20000000000000000000",
        "99999999999999999999", "184467440737095516150"}) {
    std::string_view text = too_great;
    std::uint64_t value = 0;
    EXPECT_FALSE(parse::number(text, value)) << too_great;
    EXPECT_EQ(text, too_great);
  }
}

TEST(ParseWholeNumber, IsTheTextOfAFileWithOneNumber) {
  EXPECT_EQ(parse::whole_number("4096\n"), 4096U);
  EXPECT_EQ(parse::whole_number("4096"), 4096U);
  EXPECT_EQ(parse::whole_number("18446744073709551615\n"), greatest);
}

TEST(ParseWholeNumber, IsNothingIfTheTextIsNotExactlyANumber) {
  for (const std::string_view text :
       {"", "\n", "max\n", "12 \n", "12\n\n", " 12", "-1", "1.5", "0x10", "18446744073709551616"}) {
    EXPECT_EQ(parse::whole_number(text), std::nullopt) << text;
  }
}

TEST(ParseLine, CutsOneLineOffAfterTheOther) {
  std::string_view text = "one\n\nthree";
  EXPECT_EQ(parse::line(text), "one");
  EXPECT_EQ(parse::line(text), "");
  EXPECT_EQ(text, "three");
  EXPECT_EQ(parse::line(text), "three");
  EXPECT_TRUE(text.empty());
  EXPECT_EQ(parse::line(text), "");
}

TEST(ParseField, CutsFieldsOffAtSpacesAndTabs) {
  std::string_view text = " \tmemory\t4  66 ";
  EXPECT_EQ(parse::field(text), "memory");
  EXPECT_EQ(parse::field(text), "4");
  EXPECT_EQ(parse::field(text), "66");
  EXPECT_EQ(parse::field(text), "");
  EXPECT_TRUE(text.empty());
  EXPECT_EQ(parse::field(text), "");
}

TEST(ParseStartsWith, ComparesNoFurtherThanTheText) {
  EXPECT_TRUE(parse::starts_with("memory.stat", "memory."));
  EXPECT_TRUE(parse::starts_with("memory", ""));
  EXPECT_FALSE(parse::starts_with("mem", "memory"));
}

TEST(ParseValueOf, FindsAKeyOfARealMemoryStat) {
  const std::string text = test::captured_text(
      "linux-5.4-v1-numa2/2-zombies/sys/fs/cgroup/memory/kubepods/pod-b/memory.stat");
  EXPECT_EQ(parse::value_of(text, "cache"), 20951040U);
  EXPECT_EQ(parse::value_of(text, "total_cache"), 20951040U);
  EXPECT_EQ(parse::value_of(text, "rss"), 0U);
  EXPECT_EQ(parse::value_of(text, "file"), std::nullopt);
}

TEST(ParseValueOf, DoesNotConfuseKeysThatBeginOrEndTheSame) {
  constexpr std::string_view text = "total_cache 1\ncache_more 2\ncache 3\ncach 4\n";
  EXPECT_EQ(parse::value_of(text, "cache"), 3U);
  EXPECT_EQ(parse::value_of(text, "ache"), std::nullopt);
  EXPECT_EQ(parse::value_of(text, "cac"), std::nullopt);
}

TEST(ParseValueOf, IsNothingWhereTheKeyHasNoNumber) {
  EXPECT_EQ(parse::value_of("cache\n", "cache"), std::nullopt);
  EXPECT_EQ(parse::value_of("cache \n", "cache"), std::nullopt);
  EXPECT_EQ(parse::value_of("cache max\n", "cache"), std::nullopt);
  EXPECT_EQ(parse::value_of("cache 18446744073709551616\n", "cache"), std::nullopt);
  EXPECT_EQ(parse::value_of("", "cache"), std::nullopt);
}

TEST(ParseValueOf, ReadsALastLineWithoutANewline) {
  EXPECT_EQ(parse::value_of("rss 1\ncache 3", "cache"), 3U);
}

using Ranges = std::vector<std::pair<std::uint64_t, std::uint64_t>>;

/// Returns the ranges found, and true if the text is a list.
std::pair<Ranges, bool> ranges_of(std::string_view text) {
  Ranges seen;
  const bool list = parse::ranges(
      text, [&](std::uint64_t first, std::uint64_t last) { seen.emplace_back(first, last); });
  return {seen, list};
}

TEST(ParseRanges, ReadsTheListOfNodesOfARealMachine) {
  EXPECT_THAT(ranges_of(test::captured_text(
                  "linux-6.1-v1-numa4-memoryless/1-fresh/sys/devices/system/node/has_memory")),
              Pair(ElementsAre(Pair(0, 0), Pair(2, 3)), true));
}

TEST(ParseRanges, ReadsSingleNumbersAndRanges) {
  EXPECT_THAT(ranges_of("0-3,8,10-11\n"),
              Pair(ElementsAre(Pair(0, 3), Pair(8, 8), Pair(10, 11)), true));
  EXPECT_THAT(ranges_of("1023"), Pair(ElementsAre(Pair(1023, 1023)), true));
}

TEST(ParseRanges, OfAnEmptyTextAreEmpty) {
  EXPECT_THAT(ranges_of("\n"), Pair(IsEmpty(), true));
  EXPECT_THAT(ranges_of(""), Pair(IsEmpty(), true));
}

TEST(ParseRanges, RefusesMalformedLists) {
  for (const std::string_view text : {",", "0,", "0,,1", "0-", "-1", "3-1", "a", "0-3x", "0 1",
                                      "0\n\n", "18446744073709551616"}) {
    EXPECT_FALSE(ranges_of(text).second) << text;
  }
}

/// Returns `text` followed by bytes that must not change the result.
std::string padded(const std::string& text) {
  return text + std::string(cgctl::parse::padding, '7');
}

TEST(NumberAtAPointer, HasTheValueThatTheWholeTextHasWhateverItsLength) {
  const std::string digits = "18446744073709551615";  // 2^64 - 1
  for (std::size_t length = 1; length <= digits.size(); ++length) {
    for (const std::string& number :
         {digits.substr(0, length), std::string(length, '0'), std::string(length - 1, '0') + "9"}) {
      const std::string text = padded(number + "\n");
      const auto found = cgctl::parse::number(text.data());
      EXPECT_EQ(found.end, text.data() + length) << number;
      EXPECT_EQ(found.value, std::stoull(number)) << number;
    }
  }
}

TEST(NumberAtAPointer, StaysIfThereIsNoNumberOrItIsTooLarge) {
  for (const char* const none :
       {"\n", " 1\n", "-1\n", "/\n", ":\n", "\xb0\n", "18446744073709551616\n",
        "99999999999999999999\n", "100000000000000000000\n", "1111111111111111111111111\n"}) {
    const std::string text = padded(none);
    EXPECT_EQ(cgctl::parse::number(text.data()).end, text.data()) << none;
  }
}

TEST(NumberAtAPointer, EndsAtEachByteThatIsNoDigit) {
  for (unsigned byte = 0; byte <= 255; ++byte) {
    if (byte >= '0' && byte <= '9') continue;
    for (const std::string number : {"1", "1234567", "12345678", "123456789012345"}) {
      const std::string text = padded(number + static_cast<char>(byte));
      const auto found = cgctl::parse::number(text.data());
      EXPECT_EQ(found.end, text.data() + number.size()) << byte;
      EXPECT_EQ(found.value, std::stoull(number)) << byte;
    }
  }
}

TEST(PaddedNumber, IsWhatTheWholeTextSays) {
  for (const std::string text : {"0", "7\n", "9223372036854771712\n", "18446744073709551615", "",
                                 "\n", "max\n", "1 2\n", "1\n\n", "-1", "18446744073709551616\n"}) {
    const std::string padded = text + "\n" + std::string(cgctl::parse::padding, '7');
    EXPECT_EQ(cgctl::parse::padded_number(std::string_view(padded).substr(0, text.size())),
              cgctl::parse::whole_number(text))
        << text;
  }
}

TEST(SameBytes, ComparesNoMoreThanItShould) {
  const std::string name = "hierarchical_memory_limit";
  for (std::size_t size = 0; size <= name.size(); ++size) {
    const std::string one = padded(name.substr(0, size) + "a");
    EXPECT_TRUE(
        cgctl::parse::same_bytes(one.data(), padded(name.substr(0, size) + "b").data(), size));
    for (std::size_t i = 0; i < size; ++i) {
      std::string other = one;
      other[i] = '-';
      EXPECT_FALSE(cgctl::parse::same_bytes(one.data(), other.data(), size)) << size << " " << i;
    }
  }
}

TEST(NameEnd, IsTheFirstSpaceEqualsSignOrNewline) {
  for (const std::string name : {"", "a", "anon", "file.d-3", "hierarchical_unevictable",
                                 "12345678", "\xc3\xbc\x80r", "........."}) {
    for (const char end : {' ', '=', '\n'}) {
      const std::string text = padded(name + end);
      EXPECT_EQ(cgctl::parse::name_end(text.data()), text.data() + name.size()) << name;
    }
  }
}

}  // namespace parse_test
