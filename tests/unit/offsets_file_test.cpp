// SPDX-FileCopyrightText: The cgctl authors
// SPDX-License-Identifier: MIT
#include "kernel/offsets_file.hpp"

#include <gtest/gtest.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cstdint>
#include <fstream>
#include <string>

#include "../support/temp_directory.hpp"

namespace offsets_file_test {

using namespace cgctl;
using kernel::Layout;

constexpr std::string_view build = "6.1.0 #1 SMP 0123456789abcdef";

Layout example() {
  Layout layout;
  layout.fields.task_cgroups = 2376;
  layout.fields.css_reference_data = CGCTL_ABSENT;
  layout.fields.kn_id = 96;
  layout.fields.state_bytes = 160;
  layout.fields.lists_bytes = 160;
  layout.zones = 4;
  layout.slots[static_cast<std::size_t>(kernel::Counter::shmem)] = {19, false};
  layout.slots[static_cast<std::size_t>(kernel::Counter::slab_reclaimable)] = {5, true};
  return layout;
}

errc error_of(const std::string& text) {
  const auto layout = kernel::layout_from_text(text, build);
  return layout ? errc::system : layout.error().kind;
}

TEST(OffsetsFile, KeepsEveryNumber) {
  const std::string text = kernel::to_text(example(), build);
  const auto layout = kernel::layout_from_text(text, build);
  ASSERT_TRUE(layout) << layout.error().message();
  EXPECT_EQ(layout->fields.task_cgroups, 2376);
  EXPECT_EQ(layout->fields.css_reference_data, CGCTL_ABSENT);
  EXPECT_EQ(layout->zones, 4);
  EXPECT_EQ(layout->slots[static_cast<std::size_t>(kernel::Counter::slab_reclaimable)].index, 5);
  EXPECT_EQ(kernel::to_text(*layout, build), text);
}

/// A lie about these would change answers, and no comparison with the running kernel shows it.
TEST(OffsetsFile, TellsNothingThatFollowsFromTheRelease) {
  struct {
    const char* build;
    bool slab_holds, coarse_counters, pages_move;
  } constexpr kernels[] = {
      {"4.19.0-27-amd64 #1", true, true, false}, {"5.8.18 #1", true, true, false},
      {"5.9.0 #1", false, true, false},          {"5.13.0 #1", false, false, false},
      {"7.0.3 #1", false, false, false},         {"7.1.0-rc1 #1", false, false, true},
  };
  for (const auto& [of, slab_holds, coarse_counters, pages_move] : kernels) {
    Layout lie = example();
    lie.slab_holds = !slab_holds;
    lie.coarse_counters = !coarse_counters;
    lie.pages_move = !pages_move;
    lie.fields.birth = 8;
    const std::string text = kernel::to_text(lie, of);
    for (const char* const flag : {"holds", "move", "coarse", "birth", "counter.bytes"}) {
      EXPECT_EQ(text.find(flag), std::string::npos) << flag;
    }
    const auto layout = kernel::layout_from_text(text, of);
    ASSERT_TRUE(layout) << layout.error().message();
    EXPECT_EQ(layout->slab_holds, slab_holds) << of;
    EXPECT_EQ(layout->coarse_counters, coarse_counters) << of;
    EXPECT_EQ(layout->pages_move, pages_move) << of;
    EXPECT_EQ(layout->fields.birth, CGCTL_ABSENT);
    const auto slab = static_cast<std::size_t>(kernel::Counter::slab_reclaimable);
    EXPECT_EQ(layout->slots[slab].bytes, !slab_holds) << of;
    EXPECT_FALSE(layout->slots[static_cast<std::size_t>(kernel::Counter::shmem)].bytes);
  }
  EXPECT_FALSE(kernel::layout_from_text(kernel::to_text(example(), "Linux"), "Linux"));
}

TEST(OffsetsFile, OfAnotherKernelIsNotUsed) {
  const auto layout =
      kernel::layout_from_text(kernel::to_text(example(), "6.1.0 #2 SMP 0123456789abcdef"), build);
  ASSERT_FALSE(layout);
  EXPECT_EQ(layout.error().kind, errc::unsupported);
  EXPECT_NE(layout.error().message().find("of another kernel"), std::string::npos);
}

TEST(OffsetsFile, ThatIsCutOrLongerIsDamaged) {
  const std::string whole = kernel::to_text(example(), build);
  for (std::size_t size = 0; size < whole.size(); ++size) {
    ASSERT_FALSE(kernel::layout_from_text(std::string_view(whole).substr(0, size), build)) << size;
  }
  EXPECT_EQ(error_of(whole + "\n"), errc::malformed);
  EXPECT_EQ(error_of(whole + whole), errc::malformed);
}

TEST(OffsetsFile, WithAnyByteChangedIsDamaged) {
  const std::string whole = kernel::to_text(example(), build);
  for (std::size_t i = 0; i < whole.size(); ++i) {
    for (const char other : {'\0', '1', ' ', '\n', '\xff'}) {
      if (whole[i] == other) continue;
      std::string text = whole;
      text[i] = other;
      ASSERT_FALSE(kernel::layout_from_text(text, build)) << i;
    }
  }
}

TEST(OffsetsFile, WithMoreThanARecordHoldsIsDamaged) {
  const auto refused = [](Layout layout) {
    return error_of(kernel::to_text(layout, build)) == errc::malformed;
  };
  Layout layout = example();
  layout.fields.lists_bytes = 40 * 1000;
  EXPECT_TRUE(refused(layout));
  layout = example();
  layout.slots[0].index = 20;
  EXPECT_TRUE(refused(layout));
  layout = example();
  layout.fields.state_bytes = sizeof cgctl_record::state;
  EXPECT_TRUE(refused(layout));
  layout = example();
  layout.fields.generations_bytes = 8 * cgctl_generations;
  EXPECT_TRUE(refused(layout));
}

TEST(OffsetsFile, ThatOtherUsersCanWriteIsNotUsed) {
  const test::TempDirectory directory;
  const std::string path = directory / "state/offsets";
  ASSERT_TRUE(kernel::save_offsets(path, example(), build));
  EXPECT_TRUE(kernel::load_offsets(path, build));
  ASSERT_EQ(::chmod(path.c_str(), 0666), 0);
  const auto open_to_all = kernel::load_offsets(path, build);
  ASSERT_FALSE(open_to_all);
  EXPECT_EQ(open_to_all.error().kind, errc::outside);
}

TEST(OffsetsFile, IsARegularFileOfAModestSize) {
  const test::TempDirectory directory;
  const std::string path = directory / "offsets";
  EXPECT_EQ(kernel::load_offsets(path, build).error().os_errno, ENOENT);
  ASSERT_EQ(::mkfifo(path.c_str(), 0600), 0);
  EXPECT_FALSE(kernel::load_offsets(path, build));
  ASSERT_EQ(::unlink(path.c_str()), 0);
  std::ofstream(path) << kernel::to_text(example(), build) << std::string(1 << 20, '#');
  ASSERT_EQ(::chmod(path.c_str(), 0600), 0);
  EXPECT_EQ(kernel::load_offsets(path, build).error().kind, errc::malformed);
}

}  // namespace offsets_file_test
