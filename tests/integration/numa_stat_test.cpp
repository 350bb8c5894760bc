// SPDX-FileCopyrightText: The cgctl authors
// SPDX-License-Identifier: MIT
#include "cgctl/numa_stat.hpp"

#include <fcntl.h>
#include <gtest/gtest.h>
#include <sys/mman.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <cerrno>
#include <chrono>
#include <cstdint>
#include <cstdlib>
#include <cstring>
#include <fstream>
#include <map>
#include <sstream>
#include <string>

#include "../support/skip.hpp"
#include "cgctl/group.hpp"
#include "real_cgroups.hpp"

namespace numa_stat_test {

using namespace cgctl;

/// Maps a line's name and "total" or a node's id to a value. Filled without the library's parser.
using Table = std::map<std::string, std::map<std::string, std::uint64_t>>;

Table table_of(const std::string& text) {
  Table table;
  std::istringstream lines(text);
  for (std::string line; std::getline(lines, line);) {
    std::istringstream fields(line);
    std::string name;
    fields >> name;
    const std::size_t equals = name.find('=');
    if (equals != std::string::npos) {
      table[name.substr(0, equals)]["total"] = std::stoull(name.substr(equals + 1));
      name.resize(equals);
    }
    for (std::string field; fields >> field;) {
      const std::size_t at = field.find('=');
      table[name][field.substr(1, at - 1)] = std::stoull(field.substr(at + 1));
    }
  }
  return table;
}

Table table_of(const numa::NumaStat& stat, bool with_totals) {
  Table table;
  for (std::size_t i = 0; i < stat.size(); ++i) {
    auto& row = table[std::string(stat[i].name)];
    if (with_totals) row["total"] = stat[i].total;
    for (const numa::NodeValue& entry : stat[i]) row[std::to_string(entry.node)] = entry.value;
  }
  return table;
}

class RealNumaStat : public test::RealCgroups {
 protected:
  void SetUp() override {
    RealCgroups::SetUp();
    if (IsSkipped() || HasFatalFailure()) return;
    const auto root = host().open("/");
    ASSERT_TRUE(root);
    const auto reader = numa::Reader::open(*root);
    if (!reader && reader.error().kind == errc::unsupported)
      return test::skip(reader.error().message());
    ASSERT_TRUE(reader) << reader.error().message();
  }
  [[nodiscard]] Result<numa::Reader> reader(std::string_view below) const {
    const auto group = host().open(path(below));
    if (!group) return fail(group.error());
    return numa::Reader::open(*group);
  }
  numa::NumaStat out_;
};

/// Allocates 1,024 pages that stay. Some may still be in a CPU's batch and not on the LRU lists.
/// Returns an errno.
int hold_memory() {
  const std::size_t size = std::size_t{1024} * static_cast<std::size_t>(::sysconf(_SC_PAGESIZE));
  void* const memory =
      ::mmap(nullptr, size, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
  if (memory == MAP_FAILED) return errno;
  std::memset(memory, 1, size);
  return 0;
}

TEST_F(RealNumaStat, EqualsTheFileOfAQuietCgroup) {
  make("quiet");
  const test::Tenant tenant(directory("quiet"), hold_memory);
  const auto quiet = reader("quiet");
  ASSERT_TRUE(quiet) << quiet.error().message();
  EXPECT_EQ(quiet->path(), directory("quiet/memory.numa_stat"));
  const std::string complaint = test::persist(50, [&]() -> std::string {
    const std::string before = test::file_text(quiet->path());
    const auto status = quiet->read(out_);
    const std::string after = test::file_text(quiet->path());
    if (!status) return status.error().message();
    if (before != after) return "it moves";
    const Table expected = table_of(before);
    if (expected != table_of(out_, !v2())) return "differs from:\n" + before;
    const auto anon = out_.find("anon");
    if (!anon || out_.bytes(anon->total) < 512 * host().page_size())
      return "the tenant's pages are missing:\n" + before;
    return {};
  });
  EXPECT_EQ(complaint, "");
  EXPECT_EQ(out_.unit(), v2() ? numa::Unit::bytes : numa::Unit::pages);
  EXPECT_EQ(out_.source(), numa::Source::file);
  EXPECT_EQ(out_.skipped_lines(), 0);
}

/// Returns the number of read calls of this process so far (proc_pid_io(5)). The read of that file
/// counts as well, but only afterwards.
std::uint64_t read_calls(int io) {
  std::array<char, 512> text{};
  const ssize_t got = ::pread(io, text.data(), text.size() - 1, 0);
  const char* const found = got > 0 ? std::strstr(text.data(), "syscr: ") : nullptr;
  return found == nullptr ? 0 : std::strtoull(found + 7, nullptr, 10);
}

TEST_F(RealNumaStat, MakesOneReadCallOnceTheBufferIsLargeEnough) {
  const UniqueFd io(::open("/proc/self/io", O_RDONLY | O_CLOEXEC));
  if (!io || read_calls(io.get()) == 0)
    return test::skip("this kernel does not count read calls (TASK_IO_ACCOUNTING)");
  make("steady");
  const auto steady = reader("steady");
  ASSERT_TRUE(steady) << steady.error().message();
  ASSERT_TRUE(steady->read(out_));
  constexpr unsigned reads = 1000;
  unsigned failed = 0;
  const std::uint64_t before = read_calls(io.get());
  for (unsigned i = 0; i < reads; ++i) failed += steady->read(out_) ? 0U : 1U;
  const std::uint64_t after = read_calls(io.get());
  EXPECT_EQ(failed, 0);
  EXPECT_EQ(after - before, reads + 1);
}

TEST_F(RealNumaStat, FailsAsVanishedAfterTheRemoval) {
  make("gone");
  const auto gone = reader("gone");
  ASSERT_TRUE(gone);
  ASSERT_TRUE(gone->read(out_));
  remove("gone");
  for (int i = 0; i < 2; ++i) {
    const auto status = gone->read(out_);
    ASSERT_FALSE(status);
    EXPECT_EQ(status.error().kind, errc::vanished) << status.error().message();
  }
}

TEST_F(RealNumaStat, DoesNotMistakeANewCgroupOfTheSameNameForTheOldOne) {
  make("again");
  const auto old = reader("again");
  ASSERT_TRUE(old);
  remove("again");
  make("again");
  const auto status = old->read(out_);
  ASSERT_FALSE(status);
  EXPECT_EQ(status.error().kind, errc::vanished);
  const auto fresh = reader("again");
  ASSERT_TRUE(fresh);
  EXPECT_TRUE(fresh->read(out_));
}

TEST_F(RealNumaStat, OfTheRootByItsNodesEqualsTheFilesHierarchicalLines) {
  const auto root = host().open("/");
  ASSERT_TRUE(root);
  const auto file = numa::Reader::open(*root);
  ASSERT_TRUE(file) << file.error().message();
  const auto nodes = numa::RootReader::open(host(), hierarchy().version);
  ASSERT_TRUE(nodes) << nodes.error().message();
  // Both kinds of counters are kept per CPU and added up from time to time, so that they differ; on
  // v2 they are in bytes.
  const std::uint64_t unit = v2() ? host().page_size() : 1;
  const auto cpus = static_cast<std::uint64_t>(::sysconf(_SC_NPROCESSORS_CONF));
  const std::uint64_t drift = (500 + 500 * cpus) * unit;
  const auto files = folder(lab::Pin::page_cache);
  ASSERT_TRUE(files);
  std::ofstream(*files / "cached") << std::string(2 * (500 + 500 * cpus) * host().page_size(), 'x');

  numa::NumaStat by_nodes;
  const std::string complaint = test::persist(20, [&]() -> std::string {
    if (!file->read(out_) || !nodes->read(by_nodes)) return "a read failed";
    for (std::size_t i = 0; i < by_nodes.size(); ++i) {
      const auto expected = out_.find(by_nodes[i].name);
      const std::string name(by_nodes[i].name);
      if (!expected) return name + " is not in the file";
      if (by_nodes[i].count != expected->count) {
        return name + ": " + std::to_string(by_nodes[i].count) + " nodes, the file has " +
               std::to_string(expected->count);
      }
      for (const numa::NodeValue& entry : by_nodes[i]) {
        const auto value = expected->on(entry.node);
        if (!value) return name + ": the file has no node " + std::to_string(entry.node);
        const std::uint64_t apart = std::max(*value, entry.value) - std::min(*value, entry.value);
        if (apart > drift) {
          return name + ": " + std::to_string(entry.value) + " by nodes, " +
                 std::to_string(*value) + " by the file";
        }
      }
    }
    return {};
  });
  EXPECT_EQ(complaint, "");
  EXPECT_EQ(by_nodes.size(), v2() ? 5 : 4);
  EXPECT_EQ(by_nodes.source(), numa::Source::nodes);
  EXPECT_EQ(by_nodes.unit(), out_.unit());
  std::uint64_t cached = 0;
  for (std::size_t i = 0; i < by_nodes.size(); ++i) {
    if (by_nodes[i].name.find("file") != std::string_view::npos) cached += by_nodes[i].total;
  }
  EXPECT_GT(cached, drift);
}

TEST_F(RealNumaStat, GivesTheGuardTheCostOfARead) {
  make("idle");
  numa::CostGuard guard;
  const auto before = guard.predict(1);
  const auto cost = numa::calibrate(host(), guard, std::chrono::hours(1));
  ASSERT_TRUE(cost) << cost.error().message();
  EXPECT_GT(cost->wall.count(), 0);
  EXPECT_EQ(guard.predict(1), cost->wall);
  EXPECT_NE(guard.predict(1), before);
}

}  // namespace numa_stat_test
