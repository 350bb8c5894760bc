// SPDX-FileCopyrightText: The cgctl authors
// SPDX-License-Identifier: MIT
#include "cgctl/numa_stat.hpp"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <algorithm>
#include <filesystem>
#include <stdexcept>
#include <string>
#include <vector>

#include "../support/captures.hpp"
#include "../support/made.hpp"
#include "../support/result.hpp"

namespace numa_stat_test {

using namespace cgctl;
using numa::NodeValue;
using numa::NumaStat;
using numa::Reader;
using numa::RootReader;
using test::fails;
using test::must;
using test::ok;
using ::testing::ElementsAre;
using ::testing::HasSubstr;

std::vector<std::string> names(const NumaStat& out) {
  std::vector<std::string> all;
  for (std::size_t i = 0; i < out.size(); ++i) all.emplace_back(out[i].name);
  return all;
}

std::vector<std::uint32_t> nodes(const NumaStat::Stat& stat) {
  std::vector<std::uint32_t> all;
  for (const NodeValue& entry : stat) all.push_back(entry.node);
  return all;
}

NumaStat::Stat stat_of(const NumaStat& out, std::string_view name) {
  const auto stat = out.find(name);
  if (!stat) throw std::runtime_error("no line " + std::string(name));
  return *stat;
}

std::uint64_t on(const NumaStat& out, std::string_view name, std::uint32_t node) {
  const auto value = stat_of(out, name).on(node);
  if (!value) throw std::runtime_error("no node " + std::to_string(node));
  return *value;
}

/// Returns a v1 text with the four lines that every kernel has, for two nodes, followed by `more`.
std::string v1_text(std::string_view more = "") {
  return "total=6 N0=4 N1=2\nfile=1 N0=1 N1=0\nanon=5 N0=3 N1=2\nunevictable=0 N0=0 N1=0\n" +
         std::string(more);
}

const char* const fresh_v1 = "linux-5.4-v1-numa2/1-fresh/sys/fs/cgroup/memory/memory.numa_stat";
const char* const pod_v2 =
    "linux-6.1-v2-numa2/2-zombies/sys/fs/cgroup/kubepods.slice/memory.numa_stat";

TEST(NumaStat, OfV1HasPagesOfEachNodeByTheKernelsNames) {
  NumaStat out;
  ASSERT_TRUE(ok(numa::parse(test::captured_text(fresh_v1), Version::v1, out)));
  EXPECT_EQ(out.unit(), numa::Unit::pages);
  EXPECT_EQ(out.source(), numa::Source::file);
  EXPECT_EQ(on(out, "hierarchical_file", 1), 5123U);
  EXPECT_EQ(stat_of(out, "hierarchical_file").total, 5115U) << "as the kernel says it";
  EXPECT_EQ(out.bytes(on(out, "hierarchical_file", 1)), 5123U * 4096);
  EXPECT_THAT(names(out),
              ElementsAre("total", "file", "anon", "unevictable", "hierarchical_total",
                          "hierarchical_file", "hierarchical_anon", "hierarchical_unevictable"));
  EXPECT_EQ(out.skipped_lines(), 0U);
}

TEST(NumaStat, OfV2HasBytesAndEveryKeyOfTheFile) {
  const std::string text = test::captured_text(pod_v2);
  NumaStat out;
  ASSERT_TRUE(ok(numa::parse(text, Version::v2, out)));
  EXPECT_EQ(out.unit(), numa::Unit::bytes);
  EXPECT_EQ(on(out, "file", 0), 307200U);
  EXPECT_EQ(on(out, "file", 1), 1613824U);
  EXPECT_EQ(stat_of(out, "file").total, 307200U + 1613824U) << "the sum of the nodes";
  EXPECT_EQ(out.bytes(307200), 307200U);
  EXPECT_EQ(out.size(), static_cast<std::size_t>(std::count(text.begin(), text.end(), '\n')));
  EXPECT_EQ(out.size(), 27U);
}

TEST(NumaStat, BeforeTheFirstReadIsEmpty) {
  const NumaStat out;
  EXPECT_TRUE(out.empty());
  EXPECT_EQ(out.size(), 0U);
  EXPECT_FALSE(out.find("total"));
}

TEST(NumaStat, DoesNotHaveANodeThatTheKernelDoesNotName) {
  NumaStat out;
  ASSERT_TRUE(ok(numa::parse(v1_text(), Version::v1, out)));
  EXPECT_EQ(stat_of(out, "anon").on(2), std::nullopt);
  EXPECT_FALSE(out.find("hierarchical_total"));
  EXPECT_FALSE(out.find("tota"));
}

TEST(NumaStat, OfMachinesWithHolesHasTheNodesThatAreThere) {
  NumaStat out;
  for (const char* tree : {"linux-6.1-v1-numa4-hole/1-fresh/sys/fs/cgroup/memory/memory.numa_stat",
                           "linux-6.1-v2-numa4-hole/1-fresh/sys/fs/cgroup/memory.numa_stat"}) {
    const bool v2 = std::string_view(tree).find("-v2-") != std::string_view::npos;
    ASSERT_TRUE(ok(numa::parse(test::captured_text(tree), v2 ? Version::v2 : Version::v1, out)));
    EXPECT_THAT(nodes(out[0]), ElementsAre(0, 1, 3));
  }
}

TEST(NumaStat, OfAMachineWithANodeWithoutMemoryLeavesItOut) {
  NumaStat out;
  ASSERT_TRUE(ok(numa::parse(
      test::captured_text(
          "linux-6.1-v1-numa4-memoryless/1-fresh/sys/fs/cgroup/memory/memory.numa_stat"),
      Version::v1, out)));
  EXPECT_THAT(nodes(stat_of(out, "hierarchical_file")), ElementsAre(0, 2, 3));
  EXPECT_EQ(on(out, "hierarchical_file", 3), 533U);
}

TEST(NumaStat, HasNodeIdsOfAnyNumberOfDigits) {
  NumaStat out;
  ASSERT_TRUE(ok(numa::parse("anon N7=1 N63=2 N1023=3 N4294967295=4\n", Version::v2, out)));
  EXPECT_THAT(nodes(out[0]), ElementsAre(7, 63, 1023, 4294967295U));
  EXPECT_EQ(on(out, "anon", 4294967295U), 4U);
}

TEST(NumaStat, HasNodeIdsInAnyOrder) {
  NumaStat out;
  // Here a '=' is where it would be if each id had as many digits as the one before.
  ASSERT_TRUE(ok(numa::parse("anon N4294967295=4 N429493=2\nfile=N4294967295=4 N1=2 N333=1 \n",
                             Version::v2, out)));
  ASSERT_TRUE(ok(numa::parse("anon N1234567=1 N1=2 N12=3\n", Version::v2, out)));
  EXPECT_THAT(nodes(out[0]), ElementsAre(1234567, 1, 12));
  EXPECT_EQ(on(out, "anon", 12), 3U);
  for (std::string behind(40, '='); behind.size() > 20; behind.pop_back()) {
    (void)numa::parse("anon N1=1" + behind + "\n", Version::v2, out);
    ASSERT_TRUE(ok(numa::parse("anon N4294967295=4 N429493=2\n", Version::v2, out)));
    EXPECT_THAT(nodes(out[0]), ElementsAre(4294967295U, 429493U));
  }
}

TEST(NumaStat, LeavesOutALineWithANodeIdThatNoKernelHas) {
  NumaStat out;
  ASSERT_TRUE(ok(numa::parse("anon N0=1\nfile N4294967296=1\n", Version::v2, out)));
  EXPECT_THAT(names(out), ElementsAre("anon"));
  EXPECT_EQ(out.skipped_lines(), 1U);
}

TEST(NumaStat, LeavesOutALineWithANumberThatDoesNotFit) {
  NumaStat out;
  ASSERT_TRUE(ok(numa::parse("anon N0=18446744073709551615\nfile N0=18446744073709551616\n",
                             Version::v2, out)));
  EXPECT_EQ(on(out, "anon", 0), 18446744073709551615U);
  EXPECT_FALSE(out.find("file"));
  EXPECT_EQ(out.skipped_lines(), 1U);
}

TEST(NumaStat, OfV1IsTruncatedWhenALineItNeedsIsLeftOut) {
  NumaStat out;
  const std::string text = v1_text();
  for (const char* number : {"total=6", "N0=4"}) {
    std::string broken = text;
    broken.replace(broken.find(number), std::string_view(number).size(),
                   std::string(number) + "00000000000000000000");
    EXPECT_TRUE(fails(numa::parse(broken, Version::v1, out), errc::truncated)) << number;
  }
}

TEST(NumaStat, OfAKernelBefore316HasNoHierarchicalLines) {
  NumaStat out;
  ASSERT_TRUE(ok(numa::parse(v1_text(), Version::v1, out)));
  EXPECT_THAT(names(out), ElementsAre("total", "file", "anon", "unevictable"));
}

TEST(NumaStat, OfAVendorKernelIsReadWithoutTheLinesOfAnotherForm) {
  NumaStat out;
  for (const char* line :
       {"vendor", "vendor line", "=5 N0=1 N1=2", "vendor=5", "vendor= N0=1 N1=2", "vendor=x N0=1",
        "vendor N0=1 N1=2", "vendor=5 N0 N1", "vendor=5 N0=1, N1=2", "vendor=5 M0=1 M1=2",
        "vendor=5 N0=1  N1=2", "vendor=5 N0=1 N1=2 ", "vendor=5 N0=1 N1=-2", "vendor=5\tN0=1\tN1=2",
        "vendor=5 Nx=1 N1=2", "vendor=5 N0=1 N1=2kB", " vendor=5 N0=1 N1=2 x", ""}) {
    ASSERT_TRUE(ok(numa::parse(v1_text(line + std::string("\n")), Version::v1, out))) << line;
    EXPECT_EQ(out.size(), 4U) << line;
    EXPECT_EQ(out.skipped_lines(), 1U) << line;
    EXPECT_EQ(on(out, "anon", 1), 2U) << line;
  }
}

TEST(NumaStat, OfAVendorKernelHasItsOwnLinesOfTheKernelsForm) {
  NumaStat out;
  ASSERT_TRUE(ok(numa::parse(v1_text("idle_2=9 N0=4 N1=5\n"), Version::v1, out)));
  EXPECT_EQ(on(out, "idle_2", 1), 5U);
  EXPECT_EQ(out.skipped_lines(), 0U);
}

TEST(NumaStat, OfAVendorKernelIsReadWithoutItsLinesOfOtherNodes) {
  NumaStat out;
  const std::string own = "vendor=5 N0=5\n";
  for (const std::string& text : {v1_text(own), own + v1_text(), v1_text().insert(18, own)}) {
    ASSERT_TRUE(ok(numa::parse(text, Version::v1, out))) << text;
    EXPECT_THAT(names(out), ElementsAre("total", "file", "anon", "unevictable")) << text;
    EXPECT_EQ(on(out, "unevictable", 1), 0U);
    EXPECT_EQ(out.skipped_lines(), 1U);
  }
}

TEST(NumaStat, OfV2LeavesOutLinesWithATotal) {
  NumaStat out;
  ASSERT_TRUE(ok(numa::parse("anon N0=1\nvendor=5 N0=5\nodd line\nfile N0=2\n", Version::v2, out)));
  EXPECT_THAT(names(out), ElementsAre("anon", "file"));
  EXPECT_EQ(out.skipped_lines(), 2U);
}

TEST(NumaStat, OfTheOtherVersionIsMalformed) {
  NumaStat out;
  EXPECT_TRUE(fails(numa::parse(test::captured_text(fresh_v1), Version::v2, out), errc::malformed));
  EXPECT_TRUE(fails(numa::parse(test::captured_text(pod_v2), Version::v1, out), errc::malformed));
  EXPECT_TRUE(out.empty());
}

TEST(NumaStat, OfAnEmptyFileIsTruncated) {
  NumaStat out;
  for (const Version version : {Version::v1, Version::v2}) {
    const auto status = numa::parse("", version, out);
    ASSERT_TRUE(fails(status, errc::truncated));
    EXPECT_THAT(status.error().reason, HasSubstr("empty"));
  }
}

TEST(NumaStat, OfATextWithoutAnyLineOfItsFormIsMalformed) {
  NumaStat out;
  for (const Version version : {Version::v1, Version::v2}) {
    EXPECT_TRUE(fails(numa::parse("\n", version, out), errc::malformed));
    EXPECT_TRUE(fails(numa::parse("cache 4096\nrss 0\n", version, out), errc::malformed));
  }
}

TEST(NumaStat, OfV1CutShortAnywhereIsTruncated) {
  const std::string whole = test::captured_text(fresh_v1);
  const std::size_t old_kernels_file = whole.find("hierarchical_");
  NumaStat out;
  for (std::size_t size = 0; size < whole.size(); ++size) {
    const auto status = numa::parse(whole.substr(0, size), Version::v1, out);
    if (size == old_kernels_file) {
      EXPECT_TRUE(ok(status));
      EXPECT_EQ(out.size(), 4U);
    } else {
      EXPECT_TRUE(fails(status, errc::truncated)) << size;
      EXPECT_TRUE(out.empty()) << size;
    }
  }
}

TEST(NumaStat, OfV2CutShortHasTheWholeLinesBeforeTheCutOrIsTruncated) {
  const std::string whole = test::captured_text(pod_v2);
  NumaStat all;
  ASSERT_TRUE(ok(numa::parse(whole, Version::v2, all)));
  NumaStat out;
  std::size_t lines = 0;
  for (std::size_t size = 0; size < whole.size(); ++size) {
    const auto status = numa::parse(whole.substr(0, size), Version::v2, out);
    if (size == 0 || whole[size - 1] != '\n') {
      EXPECT_TRUE(fails(status, errc::truncated)) << size;
      EXPECT_TRUE(out.empty()) << size;
      continue;
    }
    ASSERT_TRUE(ok(status)) << size;
    ASSERT_EQ(out.size(), ++lines);
    EXPECT_EQ(out[lines - 1].name, all[lines - 1].name);
    EXPECT_EQ(out[lines - 1].total, all[lines - 1].total);
  }
  EXPECT_EQ(lines, 26U);
}

TEST(NumaStat, WithLinesOfDifferentNodesIsMalformed) {
  NumaStat out;
  EXPECT_TRUE(fails(numa::parse(v1_text("hierarchical_total=1 N0=1\n"), Version::v1, out),
                    errc::malformed));
  EXPECT_TRUE(out.empty());
  EXPECT_TRUE(fails(numa::parse("anon N0=1 N1=2\nfile N0=1\n", Version::v2, out), errc::malformed));
  EXPECT_TRUE(fails(numa::parse("anon N0=1\nfile N0=1 N1=2\n", Version::v2, out), errc::malformed));
}

TEST(NumaStat, WithSomeOfTheHierarchicalLinesIsTruncated) {
  NumaStat out;
  const std::string three =
      "hierarchical_total=6 N0=4 N1=2\nhierarchical_file=1 N0=1 N1=0\n"
      "hierarchical_anon=5 N0=3 N1=2\n";
  EXPECT_TRUE(fails(numa::parse(v1_text(three), Version::v1, out), errc::truncated));
  EXPECT_TRUE(
      ok(numa::parse(v1_text(three + "hierarchical_unevictable=0 N0=0 N1=0\n"), Version::v1, out)));
}

TEST(NumaStat, OfOneTextAfterAnotherHasOnlyTheLast) {
  NumaStat out;
  ASSERT_TRUE(ok(numa::parse(test::captured_text(fresh_v1), Version::v1, out)));
  ASSERT_TRUE(ok(numa::parse("anon N5=1\nodd\n", Version::v2, out)));
  EXPECT_THAT(names(out), ElementsAre("anon"));
  EXPECT_THAT(nodes(out[0]), ElementsAre(5));
  EXPECT_EQ(out.unit(), numa::Unit::bytes);
  EXPECT_EQ(out.skipped_lines(), 1U);
  ASSERT_TRUE(ok(numa::parse(v1_text(), Version::v1, out)));
  EXPECT_EQ(out.size(), 4U);
  EXPECT_EQ(out.unit(), numa::Unit::pages);
  EXPECT_EQ(out.skipped_lines(), 0U);
}

TEST(NumaStat, CanBeMovedAndKeepsItsNames) {
  NumaStat first;
  ASSERT_TRUE(ok(numa::parse(v1_text(), Version::v1, first)));
  const NumaStat copy = first;
  const NumaStat out = std::move(first);
  EXPECT_EQ(on(out, "anon", 1), 2U);
  EXPECT_EQ(on(copy, "anon", 1), 2U);
}

TEST(NumaStatNames, AreThoseOfTheCommandLine) {
  EXPECT_EQ(to_string(numa::Unit::pages), "pages");
  EXPECT_EQ(to_string(numa::Unit::bytes), "bytes");
  EXPECT_EQ(to_string(numa::Source::file), "file");
  EXPECT_EQ(to_string(numa::Source::nodes), "nodes");
}

Reader reader_of(const Host& host, std::string_view path) {
  return must(Reader::open(must(host.open(path))));
}

TEST(NumaReader, ReadsOneCgroupAgainAndAgain) {
  const Reader reader = reader_of(test::captured("linux-5.4-v1-numa2/2-zombies"), "/");
  NumaStat out;
  for (int again = 0; again < 3; ++again) {
    ASSERT_TRUE(ok(reader.read(out)));
    EXPECT_EQ(on(out, "hierarchical_file", 0), 866U);
    EXPECT_EQ(on(out, "hierarchical_file", 1), 5898U);
  }
  EXPECT_EQ(reader.version(), Version::v1);
  EXPECT_THAT(reader.path(), ::testing::EndsWith("/sys/fs/cgroup/memory/memory.numa_stat"));
}

TEST(NumaReader, ReadsBothVersionsIntoTheSameResult) {
  const Host v1 = test::captured("linux-6.1-v1-numa2/2-zombies");
  const Host v2 = test::captured("linux-6.1-v2-numa2/2-zombies");
  NumaStat out;
  ASSERT_TRUE(ok(reader_of(v2, "/").read(out)));
  EXPECT_EQ(on(out, "inactive_file", 0) + on(out, "active_file", 0), 95U * 4096);
  ASSERT_TRUE(ok(reader_of(v1, "/").read(out)));
  EXPECT_EQ(on(out, "hierarchical_file", 0), 108U);
  EXPECT_EQ(out.size(), 8U);
  ASSERT_TRUE(ok(reader_of(v2, "/kubepods.slice").read(out)));
  EXPECT_EQ(on(out, "file", 0), 307200U);
}

/// A machine with one memory cgroup, whose numa_stat the test writes.
class MadeNumaStat : public ::testing::Test {
 protected:
  void SetUp() override {
    machine_.put_v1("memory");
    put(v1_text());
  }
  void put(std::string_view text) const {
    machine_.put("sys/fs/cgroup/memory/memory.numa_stat", text);
  }
  [[nodiscard]] Host host() const { return must(machine_.host()); }

  test::MadeMachine machine_{test::v1_mount("/sys/fs/cgroup/memory", "memory")};
  NumaStat out_;
};

TEST_F(MadeNumaStat, OfAThousandNodesIsReadWhole) {
  std::string many;
  for (int node = 0; node < 1024; ++node)
    many += " N" + std::to_string(node) + "=" + std::to_string(1'000'000 + node);
  std::string text;
  for (const char* prefix : {"", "hierarchical_"}) {
    for (const char* name : {"total", "file", "anon", "unevictable"})
      text += prefix + std::string(name) + "=1" + many + "\n";
  }
  ASSERT_GT(text.size(), 100'000U);
  const Reader reader = reader_of(host(), "/");
  ASSERT_TRUE(ok(reader.read(out_)));
  put(text);
  for (int again = 0; again < 2; ++again) {
    ASSERT_TRUE(ok(reader.read(out_)));
    ASSERT_EQ(out_.size(), 8U);
    EXPECT_EQ(out_[7].count, 1024U);
    EXPECT_EQ(on(out_, "hierarchical_unevictable", 1023), 1'001'023U);
    EXPECT_EQ(on(out_, "total", 512), 1'000'512U);
  }
  put(v1_text());
  ASSERT_TRUE(ok(reader.read(out_)));
  EXPECT_EQ(out_.size(), 4U);
  EXPECT_EQ(out_[3].count, 2U);
}

TEST_F(MadeNumaStat, OfATextThatFillsTheBufferToTheLastByteIsReadWhole) {
  for (const std::size_t size : {4095U, 4096U, 4097U}) {
    const std::string filler(size - v1_text().size() - 1, 'x');
    put(v1_text(filler + "\n"));
    NumaStat fresh;
    ASSERT_TRUE(ok(reader_of(host(), "/").read(fresh)));
    EXPECT_EQ(fresh.size(), 4U);
    EXPECT_EQ(fresh.skipped_lines(), 1U);
  }
}

TEST_F(MadeNumaStat, ThatIsCutShortNamesItsFile) {
  put("total=6 N0=4 N1=2\nfile=1 N0=");
  const auto status = reader_of(host(), "/").read(out_);
  ASSERT_TRUE(fails(status, errc::truncated));
  EXPECT_EQ(status.error().path, machine_.cgroup("memory/memory.numa_stat"));
  EXPECT_TRUE(out_.empty());
}

TEST_F(MadeNumaStat, ThatIsLargerThanAnyKernelMakesItIsMalformed) {
  std::filesystem::resize_file(machine_.cgroup("memory/memory.numa_stat"),
                               (std::uintmax_t{4} << 20) + 1);
  EXPECT_TRUE(fails(reader_of(host(), "/").read(out_), errc::malformed));
}

TEST_F(MadeNumaStat, IsReadAfterATextWasParsedIntoTheSameResult) {
  for (const std::string& text : {std::string("x"), v1_text(), v1_text(std::string(9000, 'x'))}) {
    static_cast<void>(numa::parse(text, Version::v1, out_));
    ASSERT_TRUE(ok(reader_of(host(), "/").read(out_)));
    EXPECT_EQ(out_.size(), 4U);
    EXPECT_EQ(out_.skipped_lines(), 0U);
  }
}

TEST_F(MadeNumaStat, IsInPagesOfTheMachineItWasReadFrom) {
  machine_.put("proc/meminfo", "MemFree: 640000 kB\n");
  machine_.put("proc/vmstat", "nr_free_pages 10000\n");
  ASSERT_TRUE(ok(reader_of(host(), "/").read(out_)));
  EXPECT_EQ(out_.bytes(3), 3U * 65536);
  ASSERT_TRUE(ok(numa::parse(v1_text(), Version::v1, out_)));
  EXPECT_EQ(out_.bytes(3), 3U * 4096)
      << "a text has no machine: pages of 4,096 bytes, whatever the last result had";
}

TEST_F(MadeNumaStat, ThatTheKernelDoesNotHaveIsUnsupported) {
  std::filesystem::remove(machine_.cgroup("memory/memory.numa_stat"));
  const auto reader = Reader::open(must(host().open("/")));
  ASSERT_TRUE(fails(reader, errc::unsupported));
  EXPECT_THAT(reader.error().hint, HasSubstr("without NUMA"));
}

TEST_F(MadeNumaStat, OfARemovedCgroupIsVanished) {
  machine_.put("sys/fs/cgroup/memory/a/cgroup.procs", "");
  const Group group = must(host().open("/a"));
  std::filesystem::remove_all(machine_.cgroup("memory/a"));
  EXPECT_TRUE(fails(Reader::open(group), errc::vanished));
}

TEST_F(MadeNumaStat, ThatIsASymbolicLinkIsRefused) {
  std::filesystem::remove(machine_.cgroup("memory/memory.numa_stat"));
  std::filesystem::create_symlink("/etc/passwd", machine_.cgroup("memory/memory.numa_stat"));
  EXPECT_TRUE(fails(Reader::open(must(host().open("/"))), errc::outside));
}

TEST_F(MadeNumaStat, IsMeasuredByTheReadItself) {
  const auto cost = must(numa::measured_read(reader_of(host(), "/"), out_));
  EXPECT_EQ(out_.size(), 4U);
  EXPECT_GT(cost.wall.count(), 0);
  EXPECT_GT(cost.cpu.count(), 0);
  EXPECT_LT(cost.cpu, std::chrono::seconds(10));
}

TEST_F(MadeNumaStat, ThatCannotBeReadHasNoCost) {
  put("");
  EXPECT_TRUE(fails(numa::measured_read(reader_of(host(), "/"), out_), errc::truncated));
}

TEST(NumaReaderOnV2, SaysThatTheControllerMayBeMissing) {
  const test::MadeMachine machine(test::v2_mount("/sys/fs/cgroup"));
  machine.put_v2("", "memory");
  const auto reader = Reader::open(must(must(machine.host()).open("/")));
  ASSERT_TRUE(fails(reader, errc::unsupported));
  EXPECT_THAT(reader.error().hint, HasSubstr("5.10"));
}

TEST(NumaReader, IsUnsupportedWithoutAMemoryController) {
  const test::MadeMachine machine(test::v1_mount("/sys/fs/cgroup/cpu", "cpu"));
  machine.put_v1("cpu");
  EXPECT_TRUE(fails(Reader::open(must(must(machine.host()).open("/"))), errc::unsupported));
}

TEST(RootNumaReader, GivesTheHierarchicalFiguresOfTheRootWithoutItsFile) {
  const Host host = test::captured("linux-5.4-v1-numa2/2-zombies");
  const RootReader reader = must(RootReader::open(host, Version::v1));
  EXPECT_EQ(reader.nodes(), 2U);
  NumaStat out;
  ASSERT_TRUE(ok(reader.read(out)));
  EXPECT_EQ(out.source(), numa::Source::nodes);
  EXPECT_EQ(out.unit(), numa::Unit::pages);
  EXPECT_EQ(on(out, "hierarchical_file", 0), 866U);
  EXPECT_EQ(on(out, "hierarchical_file", 1), 5898U);
  EXPECT_EQ(on(out, "hierarchical_anon", 0), 716U);
  EXPECT_EQ(on(out, "hierarchical_anon", 1), 561U);
  EXPECT_EQ(on(out, "hierarchical_unevictable", 0), 0U);
  EXPECT_EQ(on(out, "hierarchical_total", 0), 866U + 716U);
  EXPECT_EQ(stat_of(out, "hierarchical_file").total, 866U + 5898U);
  EXPECT_EQ(stat_of(out, "hierarchical_total").total, 866U + 716U + 5898U + 561U);
  EXPECT_THAT(names(out), ElementsAre("hierarchical_total", "hierarchical_file",
                                      "hierarchical_anon", "hierarchical_unevictable"));
}

TEST(RootNumaReader, GivesTheListsInBytesOnV2) {
  const Host host = test::captured("linux-6.1-v2-numa2/2-zombies");
  NumaStat out;
  ASSERT_TRUE(ok(must(RootReader::open(host, Version::v2)).read(out)));
  EXPECT_EQ(out.unit(), numa::Unit::bytes);
  EXPECT_EQ(on(out, "inactive_file", 0) + on(out, "active_file", 0), 95U * 4096);
  EXPECT_EQ(on(out, "inactive_file", 1) + on(out, "active_file", 1), 404U * 4096);
  EXPECT_EQ(on(out, "inactive_anon", 1) + on(out, "active_anon", 1), 5643U * 4096);
  EXPECT_THAT(names(out), ElementsAre("inactive_anon", "active_anon", "inactive_file",
                                      "active_file", "unevictable"));
}

struct Lru {
  const char* tree;
  Version version;
  std::vector<std::uint64_t> file;
  std::vector<std::uint64_t> anon;
};

class RootNumaReaderOf : public ::testing::TestWithParam<Lru> {};

TEST_P(RootNumaReaderOf, HasTheFiguresOfTheCapturesReadme) {
  const Host host = test::captured(GetParam().tree);
  NumaStat out;
  ASSERT_TRUE(ok(must(RootReader::open(host, GetParam().version)).read(out)));
  const auto sum = [&](const std::vector<const char*>& stats) {
    std::vector<std::uint64_t> pages(out[0].count, 0);
    for (const char* name : stats) {
      const auto stat = stat_of(out, name);
      for (std::size_t i = 0; i < stat.count; ++i)
        pages[i] += out.bytes(stat.first[i].value) / 4096;
    }
    return pages;
  };
  if (GetParam().version == Version::v1) {
    EXPECT_EQ(sum({"hierarchical_file"}), GetParam().file);
    EXPECT_EQ(sum({"hierarchical_anon"}), GetParam().anon);
  } else {
    EXPECT_EQ(sum({"inactive_file", "active_file"}), GetParam().file);
    EXPECT_EQ(sum({"inactive_anon", "active_anon"}), GetParam().anon);
  }
}

INSTANTIATE_TEST_SUITE_P(
    EveryKernel, RootNumaReaderOf,
    ::testing::Values(
        Lru{"linux-5.4-v1-numa2/1-fresh", Version::v1, {15, 5123}, {515, 550}},
        Lru{"linux-5.4-v1-numa2/2-zombies", Version::v1, {866, 5898}, {716, 561}},
        Lru{"linux-5.4-v1-numa2/3-after-drop-1", Version::v1, {21, 13}, {851, 662}},
        Lru{"linux-5.4-v1-numa2/4-after-drop-2", Version::v1, {21, 13}, {1085, 673}},
        Lru{"linux-5.10-v1-numa2/2-zombies", Version::v1, {86, 416}, {3589, 2180}},
        Lru{"linux-5.10-v2-numa2/2-zombies", Version::v2, {86, 418}, {5044, 585}},
        Lru{"linux-6.1-v1-numa2/2-zombies", Version::v1, {108, 389}, {1363, 4500}},
        Lru{"linux-6.1-v2-numa2/2-zombies", Version::v2, {95, 404}, {102, 5643}},
        Lru{"linux-6.1-hybrid-numa2/2-zombies", Version::v2, {507, 210}, {1224, 40}},
        Lru{"linux-6.1-v1-numa4-hole/1-fresh", Version::v1, {16, 264, 256}, {1453, 4126, 0}},
        Lru{"linux-6.1-v2-numa4-hole/1-fresh", Version::v2, {24, 256, 256}, {1196, 3991, 407}},
        Lru{"linux-6.1-v1-numa4-memoryless/1-fresh", Version::v1, {3, 0, 533}, {2078, 0, 3518}},
        Lru{"linux-6.12-v2-numa2/2-zombies", Version::v2, {371, 139}, {5687, 134}},
        Lru{"linux-6.18-hybrid/2-zombies", Version::v1, {242997}, {364082}}),
    test::ByTree());

TEST(RootNumaReader, HasTheNodesThatHaveMemory) {
  NumaStat out;
  const Host hole = test::captured("linux-6.1-v1-numa4-hole/1-fresh");
  ASSERT_TRUE(ok(must(RootReader::open(hole, Version::v1)).read(out)));
  EXPECT_THAT(nodes(out[0]), ElementsAre(0, 1, 3));
  const Host memoryless = test::captured("linux-6.1-v1-numa4-memoryless/1-fresh");
  ASSERT_TRUE(ok(must(RootReader::open(memoryless, Version::v1)).read(out)));
  EXPECT_THAT(nodes(out[0]), ElementsAre(0, 2, 3));
}

/// A machine whose node files the test writes.
class MadeNodes : public ::testing::Test {
 protected:
  void SetUp() override { machine_.put_v2("", "memory"); }
  void put_list(const std::string& file, std::string_view text) const {
    machine_.put("sys/devices/system/node/" + file, text);
  }
  void put_node(unsigned id, std::string_view text = vmstat) const {
    machine_.put("sys/devices/system/node/node" + std::to_string(id) + "/vmstat", text);
  }
  [[nodiscard]] Result<RootReader> open(Version version = Version::v1) const {
    return RootReader::open(must(machine_.host()), version);
  }

  static constexpr std::string_view vmstat =
      "nr_free_pages 9\nnr_zone_inactive_anon 100\nnr_inactive_anon 1\nnr_active_anon 2\n"
      "nr_inactive_file 3\nnr_active_file 4\nnr_unevictable 5\nnr_slab 6\n";
  test::MadeMachine machine_{test::v2_mount("/sys/fs/cgroup")};
  NumaStat out_;
};

TEST_F(MadeNodes, AreSumsOfTheirLists) {
  put_list("has_memory", "0,1023\n");
  put_node(0);
  put_node(1023);
  ASSERT_TRUE(ok(must(open()).read(out_)));
  EXPECT_EQ(on(out_, "hierarchical_anon", 1023), 3U);
  EXPECT_EQ(on(out_, "hierarchical_file", 0), 7U);
  EXPECT_EQ(on(out_, "hierarchical_unevictable", 0), 5U);
  EXPECT_EQ(on(out_, "hierarchical_total", 0), 15U);
  EXPECT_EQ(stat_of(out_, "hierarchical_total").total, 30U);
}

TEST_F(MadeNodes, AreThoseWithMemoryElseWithNormalMemoryElseOnline) {
  put_node(0);
  put_node(1);
  put_node(2);
  put_list("online", "0-2\n");
  EXPECT_EQ(must(open()).nodes(), 3U);
  put_list("has_normal_memory", "0-1\n");
  EXPECT_EQ(must(open()).nodes(), 2U);
  put_list("has_memory", "1\n");
  EXPECT_EQ(must(open()).nodes(), 1U);
}

TEST_F(MadeNodes, AreUnsupportedIfSysfsDoesNotShowThem) {
  const auto reader = open();
  ASSERT_TRUE(fails(reader, errc::unsupported));
  EXPECT_THAT(reader.error().hint, HasSubstr("without NUMA"));
}

TEST_F(MadeNodes, WithAMalformedListAreAnError) {
  put_node(0);
  for (const char* list : {"", "\n", "none\n", "0-\n", "0,,1\n"}) {
    put_list("has_memory", list);
    EXPECT_TRUE(fails(open(), errc::malformed)) << list;
  }
}

TEST_F(MadeNodes, ThatAreListedButMissingAreNamed) {
  put_list("has_memory", "0-18446744073709551615\n");
  put_node(0);
  const auto reader = open();
  ASSERT_TRUE(fails(reader, errc::system));
  EXPECT_THAT(reader.error().path, HasSubstr("/node1/vmstat"));
}

TEST_F(MadeNodes, WithoutTheirCountersAreMalformed) {
  put_list("has_memory", "0\n");
  for (const char* text : {"", "nr_free_pages 9\n", "nr_inactive_anon 1\nnr_active_anon 2\n",
                           "nr_inactive_anon x\nnr_active_anon 2\nnr_inactive_file 3\n"
                           "nr_active_file 4\nnr_unevictable 5\n"}) {
    put_node(0, text);
    const auto status = must(open()).read(out_);
    ASSERT_TRUE(fails(status, errc::malformed)) << text;
    EXPECT_THAT(status.error().path, HasSubstr("/node0/vmstat"));
    EXPECT_TRUE(out_.empty());
  }
}

TEST_F(MadeNodes, AreReadAfterALongerTextAndAfterAShortOne) {
  put_list("has_memory", "0\n");
  put_node(0);
  const RootReader reader = must(open(Version::v2));
  for (const std::string& text : {std::string("x"), std::string(20'000, 'x')}) {
    static_cast<void>(numa::parse(text, Version::v1, out_));
    ASSERT_TRUE(ok(reader.read(out_)));
    EXPECT_EQ(on(out_, "active_file", 0), 4U * 4096);
    EXPECT_EQ(out_.skipped_lines(), 0U);
  }
}

TEST_F(MadeNodes, AreInPagesOfTheirMachine) {
  machine_.put("proc/meminfo", "MemFree: 640000 kB\n");
  machine_.put("proc/vmstat", "nr_free_pages 10000\n");
  put_list("has_memory", "0\n");
  put_node(0);
  ASSERT_TRUE(ok(must(open(Version::v2)).read(out_)));
  EXPECT_EQ(on(out_, "active_file", 0), 4U * 65536);
  ASSERT_TRUE(ok(must(open(Version::v1)).read(out_)));
  EXPECT_EQ(out_.bytes(on(out_, "hierarchical_file", 0)), 7U * 65536);
}

}  // namespace numa_stat_test
