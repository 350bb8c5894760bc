// SPDX-FileCopyrightText: The cgctl authors
// SPDX-License-Identifier: MIT
#include "cgctl/holds.hpp"

#include <gtest/gtest.h>

#include <chrono>
#include <cstdio>
#include <cstring>
#include <string>
#include <vector>

#include "holds/counters.hpp"
#include "holds/event.hpp"
#include "holds/grouping.hpp"
#include "holds/names.hpp"
#include "holds/symbols.hpp"
#include "holds/totals.hpp"

namespace holds_test {

using namespace cgctl::holds;
using namespace std::chrono_literals;

Symbols symbols_of(std::string_view text) {
  Symbols symbols;
  while (!text.empty()) {
    const std::size_t end = std::min(text.find('\n'), text.size());
    symbols.add_line(text.substr(0, end));
    text.remove_prefix(std::min(end + 1, text.size()));
  }
  symbols.finish();
  return symbols;
}

// Two functions of a cause, a variable and another function between them, an alias, a part that the
// compiler split off, and a module, whose addresses are lower.
constexpr const char* kallsyms =
    "ffffffff81000000 T _stext\n"
    "ffffffff81100000 T __x64_sys_read\n"
    "ffffffff81100000 T __ia32_sys_read\n"
    "ffffffff81100040 T ksys_pread64\n"
    "ffffffff81100080 t seq_read_iter\n"
    "ffffffff81200000 t memcg_numa_stat_show\n"
    "ffffffff81200100 d memory_stat_show\n"
    "ffffffff81200200 t kernfs_seq_show\n"
    "ffffffff81200300 T css_rstat_flush.part.0\n"
    "ffffffff81200400 t mem_cgroup_charge\n"
    "ffffffffa0000000 t shrink_slab_of_a_module\t[module]\n";
constexpr std::uint64_t numa_stat = 0xffffffff81200010;
constexpr std::uint64_t seq_show = 0xffffffff81200210;
constexpr std::uint64_t flush = 0xffffffff81200310;
constexpr std::uint64_t charge = 0xffffffff81200410;
constexpr std::uint64_t pread64 = 0xffffffff81100050;
constexpr std::uint64_t kernel_mark = ~std::uint64_t{127};

std::string name_at(const Symbols& symbols, std::uint64_t address) {
  const std::uint16_t place = symbols.find(address);
  return place == Symbols::none ? "" : std::string(symbols.name(place));
}

TEST(Symbols, AreTheFunctionsOfTheTableWithTheirEnds) {
  const Symbols symbols = symbols_of(kallsyms);
  EXPECT_EQ(name_at(symbols, 0xffffffff81200000), "memcg_numa_stat_show");
  EXPECT_EQ(name_at(symbols, 0xffffffff812000ff), "memcg_numa_stat_show");
  EXPECT_EQ(name_at(symbols, 0xffffffff81200100), "");  // a variable ends it
  EXPECT_EQ(name_at(symbols, seq_show), "kernfs_seq_show");
  EXPECT_EQ(name_at(symbols, flush), "css_rstat_flush");
  EXPECT_EQ(name_at(symbols, charge), "");
  EXPECT_EQ(name_at(symbols, 0xffffffff81100001), "read");
  EXPECT_EQ(name_at(symbols, pread64), "pread64");
  EXPECT_EQ(name_at(symbols, 0xffffffff81100080), "");
  EXPECT_EQ(name_at(symbols, 0), "");
  EXPECT_EQ(name_at(symbols, ~std::uint64_t{0}), "");
}

TEST(Symbols, AreNotShownWhereTheKernelHidesAddresses) {
  EXPECT_TRUE(symbols_of(kallsyms).shown());
  const Symbols hidden = symbols_of("0000000000000000 t memcg_numa_stat_show\n");
  EXPECT_FALSE(hidden.shown());
  EXPECT_EQ(hidden.size(), 0U);
}

std::string function_at(const FunctionNames& names, std::uint64_t address) {
  return std::string(names.at(address).view());
}

TEST(FunctionNames, AreThoseOfAnyNumberOfAddresses) {
  constexpr std::uint64_t base = 0xffffffff81000000;
  constexpr std::uint64_t size = 256;
  constexpr std::uint64_t functions = 3000;
  FunctionNames names;
  for (std::uint64_t i = functions; i > 0; --i) {
    const std::uint64_t start = base + (i - 1) * size;
    for (const std::uint64_t address : {start, start + 7, start + size - 1}) names.ask(address);
  }
  names.ask(base + 7);  // twice
  names.ask(base - 1);
  names.begin();
  names.add_line("ffffffffffffffff t behind_all");
  names.add_line("ffffffff81000010 d a_variable");
  char line[64];
  for (std::uint64_t i = 0; i < functions; ++i) {
    std::snprintf(line, sizeof line, "%llx t f%llu.part.0",
                  static_cast<unsigned long long>(base + i * size),
                  static_cast<unsigned long long>(i));
    names.add_line(line);
  }
  names.finish();
  EXPECT_EQ(function_at(names, base - 1), "");
  EXPECT_EQ(function_at(names, base + 8), "");  // nobody asked
  for (std::uint64_t i = 0; i < functions; ++i) {
    const std::string name = "f" + std::to_string(i);
    const std::uint64_t start = base + i * size;
    for (const std::uint64_t address : {start, start + 7, start + size - 1}) {
      ASSERT_EQ(function_at(names, address), name) << i;
    }
  }
}

TEST(Classify, NamesTheMostTellingFunctionAndTheCall) {
  const Symbols symbols = symbols_of(kallsyms);
  Sample sample;
  const std::uint64_t chain[] = {kernel_mark, flush, numa_stat, seq_show, pread64};
  classify(symbols, chain, std::size(chain), sample);
  EXPECT_EQ(sample.cause, Cause::numa_stat);
  EXPECT_EQ(symbols.name(sample.function), "memcg_numa_stat_show");
  EXPECT_EQ(symbols.name(sample.call), "pread64");
}

TEST(Classify, TakesReturnAddressesForTheFunctionThatCalled) {
  const Symbols symbols = symbols_of(kallsyms);
  // A call at the very end of memcg_numa_stat_show returns to the address behind it.
  const std::uint64_t behind[] = {kernel_mark, charge, 0xffffffff81200100};
  Sample sample;
  classify(symbols, behind, std::size(behind), sample);
  EXPECT_EQ(sample.cause, Cause::numa_stat);
}

// ---- groups ----

constexpr Time interval = 1ms;

Sample in_kernel(Time at, pid_t tid, std::uint64_t entry, Cause cause) {
  Sample sample;
  sample.at = at;
  sample.pid = sample.tid = tid;
  sample.kernel = true;
  sample.entry = entry;
  sample.cause = cause;
  return sample;
}

Sample in_program(Time at, pid_t tid) {
  Sample sample;
  sample.at = at;
  sample.pid = sample.tid = tid;
  return sample;
}

/// Returns the groups of a stream of samples.
std::vector<Group> groups_of(const std::vector<Sample>& samples) {
  Grouping grouping(interval);
  std::vector<Group> groups;
  Group ended;
  for (const Sample& sample : samples) {
    if (grouping.add(sample, ended)) groups.push_back(ended);
  }
  if (grouping.end(ended)) groups.push_back(ended);
  return groups;
}

TEST(Grouping, JoinsTheSamplesOfOneCall) {
  const auto groups =
      groups_of({in_kernel(1ms, 7, 1, Cause::numa_stat), in_kernel(2ms, 7, 1, Cause::numa_stat),
                 in_kernel(3ms, 7, 1, Cause::other), in_program(4ms, 7)});
  ASSERT_EQ(groups.size(), 1U);
  EXPECT_EQ(groups[0].first, 1ms);
  EXPECT_EQ(groups[0].last, 3ms);
  EXPECT_EQ(groups[0].samples, 3U);
  EXPECT_EQ(groups[0].cause(), Cause::numa_stat);
}

TEST(Grouping, EndsWithTheCallWithTheTaskAndInTheProgram) {
  EXPECT_EQ(
      groups_of({in_kernel(1ms, 7, 1, Cause::numa_stat), in_kernel(2ms, 7, 2, Cause::numa_stat)})
          .size(),
      2U);
  EXPECT_EQ(
      groups_of({in_kernel(1ms, 7, 1, Cause::numa_stat), in_kernel(2ms, 8, 1, Cause::numa_stat)})
          .size(),
      2U);
  EXPECT_EQ(groups_of({in_kernel(1ms, 7, 1, Cause::numa_stat), in_program(2ms, 7),
                       in_kernel(3ms, 7, 1, Cause::numa_stat)})
                .size(),
            2U);
}

TEST(Grouping, BridgesTheTimeInWhichTheKernelKeepsInterruptsOff) {
  const auto call =
      groups_of({in_kernel(1ms, 7, 1, Cause::flush), in_kernel(200ms, 7, 1, Cause::flush)});
  ASSERT_EQ(call.size(), 1U);
  EXPECT_EQ(call[0].last - call[0].first, 199ms);
  // Without registers nobody knows whether the call is the same.
  EXPECT_EQ(
      groups_of({in_kernel(1ms, 7, 0, Cause::flush), in_kernel(4ms, 7, 0, Cause::flush)}).size(),
      1U);
  EXPECT_EQ(
      groups_of({in_kernel(1ms, 7, 0, Cause::flush), in_kernel(5ms, 7, 0, Cause::flush)}).size(),
      2U);
}

Sample after_switches(std::uint64_t switches, Sample sample) {
  sample.switches = switches;
  return sample;
}

const Sample idle = in_kernel(10ms, 0, 0, Cause::other);

TEST(Grouping, EndsWithTheCallIfTheTaskSleptUnsampledBeforeTheSameCall) {
  // The registers are equal, and nothing was sampled while the CPU was idle.
  const auto groups = groups_of({after_switches(8, in_kernel(1ms, 7, 1, Cause::other)),
                                 after_switches(8, in_kernel(9ms, 7, 1, Cause::other)),
                                 after_switches(10, in_kernel(39ms, 7, 1, Cause::other)),
                                 after_switches(10, in_kernel(41ms, 7, 1, Cause::other))});
  ASSERT_EQ(groups.size(), 2U);
  EXPECT_EQ(groups[0].last - groups[0].first, 8ms);
  EXPECT_EQ(groups[1].last - groups[1].first, 2ms);
}

TEST(Grouping, GoesOnAfterAShortInterruptionByAnotherTask) {
  EXPECT_EQ(groups_of({after_switches(8, in_kernel(1ms, 7, 1, Cause::other)),
                       after_switches(10, in_kernel(3ms, 7, 1, Cause::other))})
                .size(),
            1U);
}

TEST(Grouping, CountsTheTimeInWhichNobodyWasSampledForTheFunctionInWhichItEnds) {
  // Interrupts were off for the first 50 ms of the read, so that only its end was sampled.
  const auto groups = groups_of({in_program(1ms, 7), in_kernel(51ms, 7, 1, Cause::memory_stat),
                                 in_kernel(52ms, 7, 1, Cause::memory_stat), in_program(53ms, 7)});
  ASSERT_EQ(groups.size(), 1U);
  EXPECT_EQ(groups[0].first, 2ms);  // the sample that did not come
  EXPECT_EQ(groups[0].last, 52ms);
  EXPECT_EQ(groups[0].samples, 2U);
}

TEST(Grouping, BlamesNobodyForAGapThatLostSamplesTheHostOrAnUnknownFunctionMayExplain) {
  for (const auto& sample : {in_kernel(51ms, 7, 1, Cause::other),          // an unknown function
                             in_kernel(4ms, 7, 1, Cause::memory_stat),     // a sample was late
                             in_kernel(5001ms, 7, 1, Cause::memory_stat),  // the machine was paused
                             in_program(51ms, 7)}) {
    for (const Group& group : groups_of({in_program(1ms, 8), sample})) {
      EXPECT_EQ(group.first, sample.at);
    }
  }
  Grouping grouping(interval);
  Group ended;
  (void)grouping.add(in_program(1ms, 8), ended);
  (void)grouping.end(ended);  // samples were lost
  (void)grouping.add(in_kernel(51ms, 7, 1, Cause::memory_stat), ended);
  ASSERT_TRUE(grouping.end(ended));
  EXPECT_EQ(ended.first, 51ms);
}

TEST(Grouping, BlamesNobodyForAGapInWhichTheCpuMayHaveBeenIdle) {
  const auto ran = after_switches(1, in_program(11ms, 8));
  const auto read = [](std::uint64_t switches) {
    return after_switches(switches, in_kernel(51ms, 7, 1, Cause::memory_stat));
  };
  EXPECT_EQ(groups_of({ran, read(3)}).front().first, 51ms);
  // The task followed the other one at once.
  EXPECT_EQ(groups_of({ran, read(2)}).front().first, 12ms);
  // The idle task would have been sampled, too.
  EXPECT_EQ(groups_of({idle, ran, read(3)}).front().first, 12ms);
}

TEST(Grouping, IgnoresTheIdleTaskAndOtherWorkOfKernelThreads) {
  EXPECT_EQ(groups_of({in_kernel(1ms, 0, 0, Cause::other), in_kernel(2ms, 9, 0, Cause::other),
                       in_program(3ms, 7)})
                .size(),
            0U);
}

TEST(Grouping, NamesNoCauseForAFewSamplesOfManyElsewhere) {
  const auto groups =
      groups_of({in_kernel(1ms, 7, 1, Cause::other), in_kernel(2ms, 7, 1, Cause::flush),
                 in_kernel(3ms, 7, 1, Cause::other)});
  ASSERT_EQ(groups.size(), 1U);
  EXPECT_EQ(groups[0].cause(), Cause::other);
}

TEST(Grouping, FindsTheInnermostFunctionOfAllSamples) {
  // From the innermost function: a leaf, places in the function that takes long, its caller.
  const std::uint64_t first[] = {kernel_mark, 900, 501, 300, 100};
  const std::uint64_t second[] = {kernel_mark, 910, 950, 508, 300, 100};
  Sample one = in_kernel(1ms, 7, 1, Cause::other);
  one.chain = first;
  one.depth = std::size(first);
  Sample two = in_kernel(2ms, 7, 1, Cause::other);
  two.chain = second;
  two.depth = std::size(second);
  EXPECT_EQ(groups_of({one, two}).front().address(), 500U);
  EXPECT_EQ(groups_of({one}).front().address(), 900U);
  EXPECT_EQ(groups_of({in_kernel(1ms, 7, 1, Cause::other)}).front().address(), 0U);
}

// ---- records ----

TEST(Records, GiveTaskTimeAndChain) {
  const Symbols symbols = symbols_of(kallsyms);
  perf_event_header header{};
  header.misc = PERF_RECORD_MISC_KERNEL;
  std::vector<std::uint64_t> words = {
      (std::uint64_t{12} << 32U) | 11, 5000, 2, 1003000, 42, 2, kernel_mark, numa_stat};
  words.push_back(PERF_SAMPLE_REGS_ABI_64);
  words.insert(words.end(), 33, 77);
  Sample sample;
  ASSERT_TRUE(read_sample(header, words.data(), words.size(), symbols, sample));
  EXPECT_EQ(sample.at, 5000ns);
  EXPECT_EQ(sample.switches, 42U);
  EXPECT_EQ(sample.cause, Cause::numa_stat);
  std::uint32_t halves[2];
  std::memcpy(halves, words.data(), sizeof halves);
  EXPECT_EQ(sample.pid, static_cast<pid_t>(halves[0]));
  EXPECT_EQ(sample.tid, static_cast<pid_t>(halves[1]));
  for (std::size_t size = 0; size < 8; ++size) {
    Sample cut;
    EXPECT_FALSE(read_sample(header, words.data(), size, symbols, cut)) << size;
  }
  words[5] = ~std::uint64_t{0};
  EXPECT_FALSE(read_sample(header, words.data(), words.size(), symbols, sample));
  words[5] = 2;
  words[2] = 1;  // a counter is missing
  EXPECT_FALSE(read_sample(header, words.data(), words.size(), symbols, sample));
}

// ---- totals ----

TEST(Totals, AddUpTasksOfOneNameAndKeepTheRestTogether) {
  Totals totals;
  Hold hold;
  hold.samples = 1;
  for (int i = 0; i < 100; ++i) {
    hold.task.pid = 100 + i;
    hold.task.cause = Cause::memory_stat;
    hold.task.comm = std::string_view("short-" + std::to_string(i));
    hold.end = hold.start + 1ms;
    totals.add(hold, false);
    hold.task.cause = Cause::numa_stat;
    hold.task.comm = std::string_view("kubelet");
    hold.end = hold.start + std::chrono::milliseconds(100 + i);
    totals.add(hold, true);
  }
  const auto sorted = totals.sorted();
  ASSERT_EQ(sorted.size(), 64U);
  EXPECT_EQ(sorted.front().task.comm.view(), "kubelet");
  EXPECT_EQ(sorted.front().holds, 100U);
  EXPECT_EQ(sorted.front().longest, 199ms);
  EXPECT_EQ(sorted.front().task.pid, 199);
  EXPECT_EQ(sorted.back().task.pid, 0);
  EXPECT_EQ(sorted.back().samples, 38U);
}

// ---- counters ----

const std::vector<Cpu> two_cpus = [] {
  std::vector<Cpu> cpus(2);
  cpus[1].cpu = 2;
  return cpus;
}();

TEST(Counters, OfSoftirqsAreThoseOfTheCpusWatched) {
  std::vector<Counted> counted(2);
  EXPECT_TRUE(parse_softirqs("          CPU0  CPU1  CPU2\n  HI:  1  2  3\n  NET_RX: 10 20 30\n",
                             two_cpus, counted));
  EXPECT_EQ(counted[0].net_rx, 10U);
  EXPECT_EQ(counted[1].net_rx, 30U);
  EXPECT_FALSE(parse_softirqs("          CPU0\n  HI: 1\n", two_cpus, counted));
}

TEST(Counters, OfTheBacklogAreHexadecimalAndNameTheirCpuIfTheKernelIsNew) {
  std::vector<Counted> counted(2);
  parse_softnet(
      "00000051 00000001 0000000a 0 0 0 0 0 0 0 0 0000001f 00000002 00000000 00000000\n"
      "00000051 00000003 00000000 0 0 0 0 0 0 0 0 00000000 00000001 00000000 00000000\n",
      two_cpus, counted);
  EXPECT_FALSE(counted[0].softnet);
  EXPECT_EQ(counted[1].dropped, 1U);
  EXPECT_EQ(counted[1].time_squeeze, 10U);
  EXPECT_EQ(counted[1].backlog, 31U);
  std::vector<Counted> old(2);
  parse_softnet("5 1 2 0 0 0 0 0 0 0 0\n6 3 4 0 0 0 0 0 0 0 0\n", two_cpus, old);
  EXPECT_EQ(old[1].dropped, 3U);
  EXPECT_FALSE(old[1].backlog);
}

TEST(Names, OfACgroupAreThoseOfTheMemoryHierarchy) {
  constexpr const char* text =
      "12:cpu,cpuacct:/a\n5:memory:/kube:pods/b\n1:name=systemd:/c\n0::/unified\n";
  EXPECT_EQ(memory_cgroup(text, false), "/kube:pods/b");
  EXPECT_EQ(memory_cgroup(text, true), "/unified");
  EXPECT_EQ(memory_cgroup("", true), "");
  EXPECT_EQ(memory_cgroup("nonsense\n:", false), "");
}

TEST(Text, IsCutAtItsSize) {
  EXPECT_EQ(Text<4>("abc").view(), "abc");
  EXPECT_EQ(Text<4>("abcdef").view(), "abcd");
  EXPECT_TRUE(Text<4>().empty());
}

}  // namespace holds_test
