// SPDX-FileCopyrightText: The cgctl authors
// SPDX-License-Identifier: MIT

// Counts the system calls of each operation. The counts are exact on any machine.
#include <gtest/gtest.h>

#include <filesystem>
#include <string>

#include "../support/captured.hpp"
#include "../support/result.hpp"
#include "../support/temp_directory.hpp"
#include "cgctl/cgctl.hpp"
#include "faulty_sys.hpp"

namespace cost_test {

using namespace cgctl;
using namespace std::chrono_literals;
using cgctl::test::must;
using cgctl::test::ok;
using fault::Call;
using fault::Faults;

struct Machine {
  const char* name;
  const char* capture;
  const char* group;
};

class Cost : public ::testing::TestWithParam<Machine> {
 protected:
  [[nodiscard]] bool v2() const { return std::string(GetParam().name) == "v2"; }

  test::CapturedMachine machine_{GetParam().capture};
  Host host_ = must(machine_.host());
  Group group_ = must(host_.open(GetParam().group));
};

constexpr const char* looks = "no device is opened in a captured tree; a real one has none";

std::size_t all_calls(const Faults& faults) {
  std::size_t sum = 0;
  for (const Call call :
       {Call::open_at, Call::open_beneath, Call::close, Call::pread, Call::write, Call::getdents64,
        Call::stat, Call::stat_at, Call::make_directory_at, Call::remove_directory_at,
        Call::change_owner_at, Call::change_mode_at, Call::file_system}) {
    sum += faults.calls(call);
  }
  return sum;
}

TEST_P(Cost, ANumaStatIsOneRead) {
  const auto reader = must(numa::Reader::open(group_));
  numa::NumaStat out;
  const Faults faults;
  ASSERT_TRUE(ok(reader.read(out)));
  EXPECT_EQ(faults.calls(Call::pread), 1U);
  EXPECT_EQ(all_calls(faults), 1U);
}

TEST_P(Cost, TheRootsFiguresByNodesTakeOneReadForEachNode) {
  const auto reader = must(numa::RootReader::open(host_, v2() ? Version::v2 : Version::v1));
  numa::NumaStat out;
  const Faults faults;
  ASSERT_TRUE(ok(reader.read(out)));
  EXPECT_GT(reader.nodes(), 1U);
  EXPECT_EQ(faults.calls(Call::pread), reader.nodes());
  EXPECT_EQ(all_calls(faults), reader.nodes());
}

TEST_P(Cost, AMemorySnapshotIsOneReadAFile) {
  const auto reader = must(memory::SnapshotReader::open(group_));
  memory::Snapshot snapshot;
  const Faults faults;
  ASSERT_TRUE(ok(reader.read(snapshot)));
  EXPECT_EQ(faults.calls(Call::pread), reader.descriptors());
  EXPECT_EQ(all_calls(faults), reader.descriptors());
}

TEST_P(Cost, ACpuSnapshotIsOneReadAFile) {
  const auto reader = must(cpu::StatReader::open(group_));
  cpu::Stat stat;
  const Faults faults;
  ASSERT_TRUE(ok(reader.read(stat)));
  EXPECT_EQ(faults.calls(Call::pread), v2() ? 1U : 4U);
  EXPECT_EQ(all_calls(faults), faults.calls(Call::pread));
}

TEST_P(Cost, ASamplerReadsEachKeptFileOnceAndDoesNothingElse) {
  auto sampler = must(Sampler::open(host_, "/", {1000}));
  const Faults faults;
  std::size_t seen = 0;
  sampler.sample([&](const Sample&) { ++seen; });
  EXPECT_GT(seen, 1U);
  EXPECT_EQ(faults.calls(Call::pread), sampler.descriptors());
  EXPECT_EQ(all_calls(faults), sampler.descriptors());
}

TEST_P(Cost, ASamplerWithoutDescriptorsOpensReadsAndClosesEachFile) {
  const std::size_t files = must(Sampler::open(host_, "/", {1000})).descriptors();
  auto sampler = must(Sampler::open(host_, "/", {0}));
  const Faults faults;
  std::size_t seen = 0;
  EXPECT_EQ(sampler.sample([&](const Sample&) { ++seen; }), 0U);
  EXPECT_EQ(faults.calls(Call::open_beneath), files);
  EXPECT_EQ(faults.calls(Call::pread), files);
  EXPECT_EQ(faults.calls(Call::close), files);
  EXPECT_EQ(faults.calls(Call::stat), seen) << "checks that it is the same cgroup";
  EXPECT_EQ(faults.calls(Call::stat_at), files) << looks;
  EXPECT_EQ(all_calls(faults), 4 * files + seen);
}

TEST_P(Cost, ASettingOpensEachFileOnce) {
  Faults faults;
  faults.on(Call::file_system).returns(v2() ? fs::cgroup_v2_magic : fs::cgroup_v1_magic).always();
  ASSERT_TRUE(ok(cpu::Controller{group_}.set(cpu::Bandwidth{20ms, 50ms, std::nullopt})));
  const std::size_t files = v2() ? 1 : 2;
  EXPECT_EQ(faults.calls(Call::open_beneath), files + 1) << "the burst as well";
  EXPECT_EQ(faults.calls(Call::pread), 2 * files + 1);
  EXPECT_EQ(faults.calls(Call::write), files);
  EXPECT_EQ(faults.calls(Call::stat), 1) << "looks for child cgroups";
  EXPECT_EQ(faults.calls(Call::file_system), files);
  EXPECT_EQ(faults.calls(Call::close), faults.calls(Call::open_beneath));
  EXPECT_EQ(faults.calls(Call::stat_at), files + 1) << looks;
  EXPECT_EQ(all_calls(faults), 7 * files + 5);
}

INSTANTIATE_TEST_SUITE_P(
    Captured, Cost,
    ::testing::Values(Machine{"v1", "linux-6.1-v1-numa2/2-zombies", "/kubepods/pod-a"},
                      Machine{"v2", "linux-6.12-v2-numa2/2-zombies", "/kubepods.slice/pod-a"}),
    [](const auto& machine) { return machine.param.name; });

TEST(CostOfTheWalk, IsOneStatForEachLeaf) {
  const test::TempDirectory tree;
  constexpr std::size_t leaves = 200;
  for (std::size_t i = 0; i < leaves; ++i) {
    std::filesystem::create_directory(tree / ("leaf" + std::to_string(i)));
  }
  const auto top = must(fs::open_trusted(tree.path(), O_RDONLY | O_DIRECTORY));
  const Faults faults;
  EXPECT_EQ(must(zombies::count_directories(top.get(), tree.path().string())), leaves + 1);
  EXPECT_EQ(faults.calls(Call::stat_at), leaves);
  EXPECT_LE(all_calls(faults), leaves + 5);
}

/// A tree of 50 cgroups with two children each.
class CostOfPods : public ::testing::Test {
 protected:
  static constexpr std::size_t pods = 50;

  void SetUp() override {
    for (std::size_t i = 0; i < pods; ++i) make("pod" + std::to_string(i));
  }
  void make(const std::string& pod) const {
    std::filesystem::create_directories(tree_.path() / pod / "a");
    std::filesystem::create_directories(tree_.path() / pod / "b");
  }
  void count(zombies::DirectoryCounter& counter) const {
    EXPECT_EQ(must(counter.count(top_.get(), "tree")), 3 * pods + 1);
  }

  test::TempDirectory tree_;
  UniqueFd top_ = must(fs::open_trusted(tree_.path(), O_RDONLY | O_DIRECTORY));
};

TEST_F(CostOfPods, OnlyDirectoriesWithChildrenAreOpened) {
  const Faults faults;
  EXPECT_EQ(must(zombies::count_directories(top_.get(), "tree")), 3 * pods + 1);
  EXPECT_EQ(faults.calls(Call::stat_at), 3 * pods);
  EXPECT_LE(faults.calls(Call::open_at), pods + 1);
  EXPECT_LE(faults.calls(Call::getdents64), 2 * (pods + 1));
  EXPECT_EQ(faults.calls(Call::close), faults.calls(Call::open_at));
  EXPECT_LE(faults.calls(Call::stat), 1);
}

TEST_F(CostOfPods, AnUnchangedTreeIsListedOnce) {
  zombies::DirectoryCounter counter;
  count(counter);
  const Faults faults;
  count(counter);
  EXPECT_EQ(faults.calls(Call::stat_at), 2 * pods);
  EXPECT_EQ(faults.calls(Call::open_at), pods);
  EXPECT_EQ(faults.calls(Call::stat), pods + 1);
  EXPECT_EQ(faults.calls(Call::close), pods);
  EXPECT_EQ(all_calls(faults), 5 * pods + 1);
}

TEST_F(CostOfPods, TheSecondCountTakesOneStatForEachDirectoryIfTheyAreKeptOpen) {
  zombies::DirectoryCounter counter(pods);
  count(counter);
  const Faults faults;
  count(counter);
  EXPECT_EQ(faults.calls(Call::stat_at), 3 * pods);
  EXPECT_EQ(all_calls(faults), 3 * pods + 1);
}

TEST_F(CostOfPods, AnEmptiedDirectoryCostsAsMuchAsALeaf) {
  zombies::DirectoryCounter counter;
  count(counter);
  for (std::size_t i = 0; i < pods; ++i) {
    const auto pod = tree_.path() / ("pod" + std::to_string(i));
    std::filesystem::remove_all(pod / "a");
    std::filesystem::remove_all(pod / "b");
  }
  EXPECT_EQ(must(counter.count(top_.get(), "tree")), pods + 1);
  const Faults faults;
  EXPECT_EQ(must(counter.count(top_.get(), "tree")), pods + 1);
  EXPECT_EQ(faults.calls(Call::stat_at), pods);
  EXPECT_EQ(all_calls(faults), pods + 1);
}

TEST_F(CostOfPods, EachChangedDirectoryIsListedAgain) {
  zombies::DirectoryCounter counter(pods);
  count(counter);
  // The number of cgroups stays the same, so that the removed one is noticed only by looking for
  // it.
  std::filesystem::remove_all(tree_.path() / "pod7");
  make("another");
  const Faults faults;
  count(counter);
  EXPECT_EQ(faults.calls(Call::getdents64), 4) << "two lists, each to its end";
  EXPECT_EQ(faults.calls(Call::stat_at), 3 * (pods - 1) + 1 + pods + 2)
      << "the cgroups that stay, the removed one, the new list, and the new cgroup's children";
  EXPECT_LE(faults.calls(Call::open_at), 3);
}

}  // namespace cost_test
