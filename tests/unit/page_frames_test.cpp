// SPDX-FileCopyrightText: The cgctl authors
// SPDX-License-Identifier: MIT
#include "zombies/page_frames.hpp"

#include <gtest/gtest.h>
#include <linux/kernel-page-flags.h>
#include <time.h>

#include <chrono>
#include <cstdint>
#include <filesystem>
#include <string>
#include <string_view>
#include <vector>

#include "../support/made.hpp"
#include "../support/result.hpp"

namespace page_frames_test {

using namespace cgctl;
using namespace std::chrono_literals;
using test::fails;
using test::must;
using zombies::Charges;
using zombies::PageFrames;
using zombies::Residual;

constexpr std::uint64_t page = 4096;
constexpr std::uint64_t here = 10;
constexpr std::uint64_t there = 20;

constexpr std::uint64_t bits(std::initializer_list<unsigned> flags) {
  std::uint64_t all = 0;
  for (const unsigned flag : flags) all |= std::uint64_t{1} << flag;
  return all;
}
constexpr std::uint64_t cached = bits({KPF_LRU});
constexpr std::uint64_t tail = bits({KPF_COMPOUND_TAIL});

/// A machine whose page frames the test makes.
class MadeFrames : public ::testing::Test {
 protected:
  struct Frame {
    std::uint64_t inode;
    std::uint64_t flags;
  };

  void SetUp() override {
    machine_.put_v1("memory");
    zone(0, 4096);
  }
  void zone(std::uint64_t first, std::uint64_t spanned) {
    zones_ += "Node 0, zone   Normal\n        spanned  " + std::to_string(spanned) +
              "\n  start_pfn:           " + std::to_string(first) + "\n";
    machine_.put("proc/zoneinfo", zones_);
  }
  /// Puts `frames` from the frame `first` on; those before it are free.
  void put(const std::vector<Frame>& frames, std::size_t first = 0) const {
    std::vector<std::uint64_t> inodes(first);
    std::vector<std::uint64_t> flags(first);
    for (const Frame& one : frames) {
      inodes.push_back(one.inode);
      flags.push_back(one.flags);
    }
    machine_.put("proc/kpagecgroup", bytes_of(inodes));
    machine_.put("proc/kpageflags", bytes_of(flags));
  }
  [[nodiscard]] Residual charged_to(std::uint64_t inode) const {
    Charges charges({there, here, inode});
    auto frames = must(PageFrames::open(must(machine_.host())));
    const auto added = frames.add_to(charges, 1min);
    EXPECT_TRUE(added) << (added ? "" : added.error().message());
    return *charges.find(inode);
  }

  test::MadeMachine machine_{test::v1_mount("/sys/fs/cgroup/memory", "memory")};

 private:
  static std::string bytes_of(const std::vector<std::uint64_t>& values) {
    return {reinterpret_cast<const char*>(values.data()), values.size() * sizeof values[0]};
  }
  std::string zones_;
};

TEST_F(MadeFrames, AreSummedByCgroupAndKind) {
  put({{here, cached},
       {here, bits({KPF_LRU, KPF_MMAP})},
       {there, cached},
       {here, bits({KPF_LRU, KPF_SWAPBACKED, KPF_ANON, KPF_MMAP})},
       {here, bits({KPF_LRU, KPF_SWAPBACKED})},
       {here, bits({KPF_LRU, KPF_UNEVICTABLE, KPF_SWAPBACKED, KPF_ANON})},
       {here, bits({KPF_SLAB})},
       {99, cached}});
  const Residual found = charged_to(here);
  EXPECT_EQ(found.file, 2 * page);
  EXPECT_EQ(found.anon, 2 * page);
  EXPECT_EQ(found.shmem, page);
  EXPECT_EQ(found.mapped, page) << "mapped anonymous memory is not mapped files";
  EXPECT_EQ(found.unevictable, page);
  EXPECT_EQ(found.total(), 5 * page);
  EXPECT_EQ(charged_to(there).total(), page);
}

TEST_F(MadeFrames, OfACompoundPageFollowItsHead) {
  const std::uint64_t head = cached | bits({KPF_COMPOUND_HEAD});
  // Before Linux 6.10 a tail has none of its head's flags and belongs to no cgroup.
  put({{here, head}, {0, tail}, {0, tail | bits({KPF_MMAP})}, {there, cached}});
  EXPECT_EQ(charged_to(here).file, 3 * page);
  EXPECT_EQ(charged_to(here).mapped, page);
  EXPECT_EQ(charged_to(there).file, page);
  put({{here, head}, {here, cached | tail}, {here, cached | tail}, {there, cached}});
  EXPECT_EQ(charged_to(here).file, 3 * page);
}

TEST_F(MadeFrames, OfACompoundPageAreFollowedAcrossReads) {
  std::vector<Frame> frames(1200, Frame{0, tail});
  frames.front() = {here, cached | bits({KPF_COMPOUND_HEAD})};
  put(frames, 500);
  EXPECT_EQ(charged_to(here).file, frames.size() * page);
  frames[700] = {0, 0};
  frames[701] = {there, cached};
  frames.resize(710);
  put(frames, 500);
  EXPECT_EQ(charged_to(here).file, 700 * page) << "the compound page ends there";
}

TEST_F(MadeFrames, OutsideZonesAreLeftOutAndThoseInTwoCountedOnce) {
  put(std::vector<Frame>(9000, Frame{here, cached}));
  EXPECT_EQ(charged_to(here).file, 4096 * page);
  zone(2048, 4096);
  EXPECT_EQ(charged_to(here).file, 6144 * page);
  zone(8192, 100);
  EXPECT_EQ(charged_to(here).file, 6244 * page);
  zone(8900, 5000);
  EXPECT_EQ(charged_to(here).file, 6344 * page) << "the files end before the zone";
}

TEST_F(MadeFrames, OfNoCgroupAreFoundIfTheyAreWanted) {
  put({{0, 0}, {0, cached}, {0, cached}});
  EXPECT_EQ(charged_to(0).file, 2 * page);
}

TEST_F(MadeFrames, AreNotReadIfThatTakesTooLong) {
  put(std::vector<Frame>(4096, Frame{here, cached}));
  Charges charges({here});
  auto frames = must(PageFrames::open(must(machine_.host())));
  EXPECT_TRUE(fails(frames.add_to(charges, 1ns), errc::over_budget));
  EXPECT_EQ(charges.find(here)->total(), 0);
}

std::chrono::nanoseconds cpu_time() {
  ::timespec now{};
  ::clock_gettime(CLOCK_THREAD_CPUTIME_ID, &now);
  return std::chrono::seconds(now.tv_sec) + std::chrono::nanoseconds(now.tv_nsec);
}

TEST_F(MadeFrames, TakeNoMoreThanTheirShareOfACpu) {
  using Clock = std::chrono::steady_clock;
  constexpr std::uint64_t many = 1 << 21;
  zone(4096, many);
  put({{here, cached}});
  for (const char* const file : {"proc/kpagecgroup", "proc/kpageflags"}) {
    std::filesystem::resize_file(machine_.path(file), many * sizeof(std::uint64_t));
  }
  Charges charges({here});
  auto frames = must(PageFrames::open(must(machine_.host())));
  const auto start = Clock::now();
  const auto cpu_at_start = cpu_time();
  ASSERT_TRUE(frames.add_to(charges, 1min, 20));
  const auto cpu = cpu_time() - cpu_at_start;
  // The prediction and the last millisecond have no pause.
  EXPECT_GT(Clock::now() - start, 2 * cpu);
  EXPECT_EQ(charges.find(here)->file, page);
}

TEST_F(MadeFrames, AreMissingOnKernelsWithoutThem) {
  const auto frames = PageFrames::open(must(machine_.host()));
  ASSERT_TRUE(fails(frames, errc::unsupported));
  EXPECT_NE(frames.error().hint.find("CONFIG_PROC_PAGE_MONITOR"), std::string::npos);
}

}  // namespace page_frames_test
