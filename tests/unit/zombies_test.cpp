// SPDX-FileCopyrightText: The cgctl authors
// SPDX-License-Identifier: MIT
#include "cgctl/zombies.hpp"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <algorithm>
#include <filesystem>
#include <string>

#include "../support/captured.hpp"
#include "../support/captures.hpp"
#include "../support/made.hpp"
#include "../support/result.hpp"
#include "cgctl/filesystem.hpp"
#include "zombies/census_pays.hpp"

namespace zombies_test {

using namespace cgctl;
using namespace std::chrono_literals;
using test::CapturedMachine;
using test::fails;
using test::must;
using test::ok;
using ::testing::HasSubstr;
using ::testing::IsEmpty;
using ::testing::SizeIs;
using zombies::SlabPins;

TEST(Zombies, AreTheCgroupsThatTheKernelHoldsWithoutADirectory) {
  const auto count = must(zombies::count(test::captured("linux-5.4-v1-numa2/2-zombies")));
  EXPECT_EQ(count.zombies(), 1500U);
  EXPECT_TRUE(count.exact());
  EXPECT_EQ(count.kernel, 1504U);
  EXPECT_EQ(count.live, 4U);
  EXPECT_EQ(count.hierarchy, Version::v1);
  EXPECT_TRUE(count.memory_only);
}

struct Noted {
  const char* tree;
  std::uint64_t kernel;
  std::uint64_t live;
  std::uint64_t zombies;
};

class ZombiesOf : public ::testing::TestWithParam<Noted> {};

TEST_P(ZombiesOf, AreAsManyAsInTheCapturesReadme) {
  const auto count = must(zombies::count(test::captured(GetParam().tree)));
  EXPECT_EQ(count.zombies(), GetParam().zombies);
  EXPECT_TRUE(count.exact());
  EXPECT_EQ(count.live, GetParam().live);
  EXPECT_EQ(count.kernel, GetParam().kernel);
}

INSTANTIATE_TEST_SUITE_P(EveryKernel, ZombiesOf,
                         ::testing::Values(Noted{"linux-5.4-v1-numa2/1-fresh", 4, 4, 0},
                                           Noted{"linux-5.4-v1-numa2/3-after-drop-1", 1504, 4,
                                                 1500},
                                           Noted{"linux-5.4-v1-numa2/4-after-drop-2", 139, 4, 135},
                                           Noted{"linux-5.10-v1-numa2/2-zombies", 204, 4, 200},
                                           Noted{"linux-5.10-v2-numa2/2-zombies", 204, 4, 200},
                                           Noted{"linux-6.1-v1-numa2/1-fresh", 4, 4, 0},
                                           Noted{"linux-6.1-v1-numa2/2-zombies", 204, 4, 200},
                                           Noted{"linux-6.1-v2-numa2/2-zombies", 204, 4, 200},
                                           Noted{"linux-6.1-v2-numa2/3-after-reclaim", 15, 4, 11},
                                           Noted{"linux-6.1-hybrid-numa2/2-zombies", 55, 5, 50},
                                           Noted{"linux-6.12-v2-numa2/1-fresh", 4, 4, 0},
                                           Noted{"linux-6.12-v2-numa2/2-zombies", 204, 4, 200},
                                           Noted{"linux-6.12-v2-numa2/3-after-reclaim", 14, 4, 10},
                                           Noted{"linux-7.2-v2-numa2/1-fresh", 4, 4, 0},
                                           Noted{"linux-7.2-v2-numa2/2-zombies", 73, 4, 69},
                                           // These two trees leave out nine live cgroups, which
                                           // count as zombies.
                                           Noted{"linux-6.18-hybrid/1-fresh", 16, 5, 11},
                                           Noted{"linux-6.18-hybrid/2-zombies", 66, 5, 61}),
                         test::ByTree());

TEST(Zombies, OfMemoryAloneAreCountedOnV2SinceLinux612) {
  EXPECT_TRUE(must(zombies::count(test::captured("linux-6.12-v2-numa2/2-zombies"))).memory_only);
  EXPECT_FALSE(must(zombies::count(test::captured("linux-6.1-v2-numa2/2-zombies"))).memory_only);
}

TEST(Zombies, AreCountedAgainThroughKeptDescriptors) {
  const CapturedMachine machine("linux-5.4-v1-numa2/2-zombies");
  auto counter = must(zombies::Counter::open(must(machine.host())));
  EXPECT_EQ(must(counter.count()).zombies(), 1500U);
  std::filesystem::create_directories(machine.cgroup("memory/new/newer"));
  EXPECT_EQ(must(counter.count(1)).zombies(), 1498U);
  std::filesystem::remove(machine.cgroup("memory/new/newer"));
  EXPECT_EQ(must(counter.count(0)).zombies(), 1499U);
}

TEST(Zombies, AreCountedByDirectoriesInACapturedTree) {
  const CapturedMachine machine("linux-5.4-v1-numa2/2-zombies");
  const Host host = must(machine.host());
  EXPECT_EQ(must(zombies::count(host)).source, zombies::CountSource::directories);
  const auto census = zombies::Counter::open(host, 0, zombies::Counter::Use::census);
  ASSERT_FALSE(census);
  EXPECT_EQ(census.error().kind, errc::unsupported);
  EXPECT_EQ(must(zombies::count(test::captured("linux-6.1-v2-numa2/2-zombies"))).source,
            zombies::CountSource::kernel);
}

TEST(Census, PaysWhenDirectoriesHaveTakenAsLongAsOpeningIt) {
  using std::chrono::milliseconds;
  using zombies::census_pays;
  // 10,000 live and 5,000 removed cgroups, 24 ms for each count of directories.
  EXPECT_FALSE(census_pays({milliseconds(24), milliseconds(24), 0}, 10'000, 15'000));
  EXPECT_TRUE(census_pays({milliseconds(24), milliseconds(240), 0}, 10'000, 15'000));
  // After a refusal it must pay far more.
  EXPECT_FALSE(census_pays({milliseconds(24), milliseconds(240), 1}, 10'000, 15'000));
  EXPECT_TRUE(census_pays({milliseconds(24), milliseconds(4'000), 1}, 10'000, 15'000));
  EXPECT_FALSE(census_pays({milliseconds(24), milliseconds(1'000'000'000), 5}, 10'000, 15'000));
  // Few directories beside many removed cgroups are faster than a census.
  EXPECT_FALSE(census_pays({milliseconds(1), milliseconds(10'000), 0}, 100, 60'000));
}

TEST(Census, IsSlowWhenDirectoriesAreFaster) {
  using std::chrono::microseconds;
  using zombies::census_is_slow;
  EXPECT_FALSE(census_is_slow({microseconds(300), 100}, microseconds(2'000), 1'000));
  EXPECT_TRUE(census_is_slow({microseconds(300), 1}, microseconds(2'000), 10'000));
  // An interruption makes one count slow; a kernel that runs a program for each cgroup, all.
  EXPECT_FALSE(census_is_slow({microseconds(5'000), 1}, microseconds(2'000), 1'000));
  EXPECT_TRUE(census_is_slow({microseconds(5'000), 5}, microseconds(2'000), 1'000));
}

TEST(Zombies, AreZeroIfTheKernelCountsFewerThanDirectories) {
  const CapturedMachine machine("linux-5.4-v1-numa2/1-fresh");
  std::filesystem::create_directories(machine.cgroup("memory/new"));
  const auto count = must(zombies::count(must(machine.host())));
  EXPECT_EQ(count.low, 0U);
  EXPECT_EQ(count.high, 0U);
}

/// A machine with an empty memory hierarchy on v1, and more files that the test writes.
class MadeZombies : public ::testing::Test {
 protected:
  void SetUp() override { machine_.put_v1("memory"); }
  void put_rows(std::string_view rows) const { machine_.put("proc/cgroups", rows); }
  [[nodiscard]] Result<zombies::Count> count() const {
    return zombies::count(must(machine_.host()));
  }

  test::MadeMachine machine_{test::v1_mount("/sys/fs/cgroup/memory", "memory")};
};

TEST_F(MadeZombies, AreMalformedWithoutAMemoryRow) {
  for (const char* rows : {"", "#subsys_name\thierarchy\tnum_cgroups\tenabled\n", "cpu\t1\t5\t1\n",
                           "memory\n", "memory\t4\n", "memory\t4\tmany\t1\n", "memory_2\t4\t9\t1\n",
                           "memory\t4\t18446744073709551616\t1\n"}) {
    put_rows(rows);
    const auto counted = count();
    ASSERT_TRUE(fails(counted, errc::malformed)) << rows;
    EXPECT_EQ(counted.error().path, machine_.path("proc/cgroups"));
  }
}

TEST_F(MadeZombies, NeedProcCgroups) {
  const auto counted = count();
  ASSERT_TRUE(fails(counted, errc::system));
  EXPECT_EQ(counted.error().path, machine_.path("proc/cgroups"));
}

TEST_F(MadeZombies, CanExceed32Bits) {
  put_rows("memory\t4\t18446744073709551615\t1\n");
  EXPECT_EQ(must(count()).zombies(), 18446744073709551614U);
}

TEST(ZombiesWithoutAMemoryController, AreUnsupported) {
  const test::MadeMachine machine(test::v1_mount("/sys/fs/cgroup/cpu", "cpu"));
  machine.put_v1("cpu");
  machine.put("proc/cgroups", "cpu\t1\t5\t1\nmemory\t0\t1\t0\n");
  const Host host = must(machine.host());
  EXPECT_TRUE(fails(zombies::count(host), errc::unsupported));
  EXPECT_TRUE(fails(zombies::attribute(host), errc::unsupported));
}

TEST(ZombiesInACgroupNamespace, AreAnIncompleteViewOnEitherVersion) {
  for (const bool v2 : {false, true}) {
    const test::MadeMachine machine(v2 ? test::v2_mount("/sys/fs/cgroup/m", "/../..")
                                       : test::v1_mount("/sys/fs/cgroup/m", "memory", "/docker/x"));
    if (v2) {
      machine.put_v2("m", "memory");
    } else {
      machine.put_v1("m");
    }
    machine.put("sys/fs/cgroup/m/cgroup.stat", "nr_descendants 0\nnr_dying_descendants 5\n");
    machine.put("proc/cgroups", "memory\t4\t9\t1\n");
    const Host host = must(machine.host());
    const auto count = zombies::count(host);
    ASSERT_TRUE(fails(count, errc::incomplete_view));
    EXPECT_THAT(count.error().hint, HasSubstr("nsenter"));
    EXPECT_EQ(count.error().path, machine.cgroup("m"));
    EXPECT_TRUE(fails(zombies::attribute(host), errc::incomplete_view));
  }
}

class MadeZombiesOnV2 : public ::testing::Test {
 protected:
  void SetUp() override { machine_.put_v2("", "memory"); }
  void put_stat(std::string_view text) const { machine_.put("sys/fs/cgroup/cgroup.stat", text); }
  [[nodiscard]] Result<zombies::Count> count() const {
    return zombies::count(must(machine_.host()));
  }

  test::MadeMachine machine_{test::v2_mount("/sys/fs/cgroup")};
};

TEST_F(MadeZombiesOnV2, AreTheDyingDescendantsOfTheRoot) {
  put_stat("nr_descendants 7\nnr_dying_descendants 9\n");
  const auto counted = must(count());
  EXPECT_EQ(counted.zombies(), 9U);
  EXPECT_EQ(counted.live, 8U) << "the root does not count itself";
  EXPECT_EQ(counted.kernel, 17U);
  EXPECT_EQ(counted.hierarchy, Version::v2);
}

TEST_F(MadeZombiesOnV2, AreMemoryCgroupsIfTheKernelCountsThemApart) {
  put_stat(
      "nr_descendants 7\nnr_subsys_memory 4\nnr_dying_descendants 9\nnr_dying_subsys_memory 3\n");
  const auto counted = must(count());
  EXPECT_EQ(counted.zombies(), 3U);
  EXPECT_EQ(counted.live, 4U);
  EXPECT_TRUE(counted.memory_only);
}

TEST_F(MadeZombiesOnV2, AreMalformedIfTheRootHasNoCount) {
  for (const char* text : {"", "nr_descendants 7\n", "nr_dying_descendants 7\n",
                           "nr_descendants 7\nnr_dying_descendants many\n"}) {
    put_stat(text);
    EXPECT_TRUE(fails(count(), errc::malformed)) << text;
  }
}

TEST_F(MadeZombiesOnV2, AreUnsupportedBeforeLinux414) {
  const auto counted = count();
  ASSERT_TRUE(fails(counted, errc::unsupported));
  EXPECT_THAT(counted.error().hint, HasSubstr("4.14"));
}

/// Counts the directories in a temporary directory.
class Directories : public ::testing::Test {
 protected:
  [[nodiscard]] std::uint64_t count() const {
    const UniqueFd fd = must(fs::open_trusted(tree_.path(), O_PATH | O_DIRECTORY));
    return must(zombies::count_directories(fd.get(), "tree"));
  }
  void make(const std::filesystem::path& below) const {
    std::filesystem::create_directories(tree_.path() / below);
  }

  test::TempDirectory tree_;
};

TEST_F(Directories, CountTheFirstAsWell) {
  EXPECT_EQ(count(), 1U);
  make("a");
  EXPECT_EQ(count(), 2U);
}

TEST_F(Directories, AreAllFoundInAWideTree) {
  for (int i = 0; i < 400; ++i) make(std::string(200, 'n') + std::to_string(i));
  EXPECT_EQ(count(), 401U) << "more than two buffers of entries";
}

TEST_F(Directories, AreAllFoundInADeepTree) {
  std::filesystem::path deep = tree_.path();
  for (int level = 0; level < 200; ++level) {
    deep /= std::to_string(level);
    std::filesystem::create_directories(deep / "leaf");
  }
  EXPECT_EQ(count(), 401U);
}

TEST_F(Directories, AreAllFoundInATreeWideAndDeep) {
  for (int a = 0; a < 7; ++a) {
    for (int b = 0; b < 7; ++b) {
      make(std::to_string(a) + "/" + std::to_string(b));
      for (int c = 0; c < a; ++c)
        make(std::to_string(a) + "/" + std::to_string(b) + "/" + std::to_string(c));
    }
  }
  EXPECT_EQ(count(), 1U + 7 + 7 * 7 + 7 * 21);
}

TEST_F(Directories, HaveNamesOfAnyBytes) {
  for (const char* name :
       {" ", "a b", "new\nline", "tab\t", "...", ".hidden", "-r", "\xff\xfe", "*"})
    make(std::filesystem::path(name) / name);
  make(std::string(255, 'n'));
  EXPECT_EQ(count(), 1U + 2 * 9 + 1);
}

TEST_F(Directories, AreNotFilesNorLinks) {
  make("a");
  test::put_file(tree_ / "a/file", "");
  std::filesystem::create_directory_symlink("..", tree_ / "a/up");
  std::filesystem::create_directory_symlink("/usr", tree_ / "elsewhere");
  EXPECT_EQ(count(), 2U);
}

TEST_F(Directories, OfAFileAreAnError) {
  test::put_file(tree_ / "file", "");
  const UniqueFd fd = must(fs::open_trusted(tree_ / "file", O_PATH));
  EXPECT_TRUE(fails(zombies::count_directories(fd.get(), "file"), errc::system));
}

/// Returns the result of `attribute` for one cgroup; null if there is none.
const zombies::Ancestor* find(const zombies::Attribution& found, std::string_view path) {
  const auto match = std::find_if(found.ancestors.begin(), found.ancestors.end(),
                                  [&](const auto& ancestor) { return ancestor.path == path; });
  return match == found.ancestors.end() ? nullptr : &*match;
}

/// Returns limits that no busy machine reaches.
zombies::AttributionLimits patient() {
  zombies::AttributionLimits limits;
  limits.total = std::chrono::minutes(1);
  limits.slowest_read = std::chrono::seconds(10);
  return limits;
}

TEST(Attribution, IsUnknownOnV1WithoutHierarchyButTheResidualIsKnown) {
  const auto found =
      must(zombies::attribute(test::captured("linux-5.4-v1-numa2/2-zombies"), patient()));
  ASSERT_FALSE(found.ancestors.empty());
  for (const auto& ancestor : found.ancestors) {
    EXPECT_EQ(ancestor.count, std::nullopt) << ancestor.path;
    EXPECT_EQ(ancestor.bytes, std::nullopt) << ancestor.path;
  }
  EXPECT_NE(find(found, "/"), nullptr);
  EXPECT_NE(find(found, "/kubepods"), nullptr);
  EXPECT_EQ(find(found, "/kubepods/pod-b"), nullptr) << "no zombie can hang unseen below a leaf";
  EXPECT_TRUE(found.complete);
  EXPECT_EQ(found.skipped, 0U);
  ASSERT_TRUE(found.residual);
  EXPECT_EQ(found.residual->freeable(), 1579U * 4096);
}

TEST(Attribution, ShowsThatDroppingThePageCacheLeftNothingToFree) {
  const auto before =
      must(zombies::attribute(test::captured("linux-5.4-v1-numa2/2-zombies"), patient()));
  const auto after =
      must(zombies::attribute(test::captured("linux-5.4-v1-numa2/3-after-drop-1"), patient()));
  ASSERT_TRUE(before.residual && after.residual);
  EXPECT_EQ(after.residual->freeable(), 14U * 4096);
  EXPECT_EQ(before.residual->file, (6747U - 5115 - 33) * 4096);
  EXPECT_EQ(before.residual->mapped, 416U * 4096 - 1622016);
}

TEST(Attribution, OnV1WithHierarchyIsInBytes) {
  const auto found =
      must(zombies::attribute(test::captured("linux-6.1-v1-numa2/2-zombies"), patient()));
  const auto* const pods = find(found, "/kubepods");
  ASSERT_NE(pods, nullptr);
  EXPECT_EQ(pods->count, std::nullopt);
  ASSERT_TRUE(pods->bytes);
  EXPECT_GE(*pods->bytes, 200U * 4096) << "each zombie holds the page of a file";
  EXPECT_EQ(found.ancestors.front().path, "/kubepods");
}

TEST(Attribution, OnV2IsACountAndAnUpperBound) {
  for (const char* tree : {"linux-6.1-v2-numa2/2-zombies", "linux-6.12-v2-numa2/2-zombies"}) {
    const auto found = must(zombies::attribute(test::captured(tree), patient()));
    ASSERT_THAT(found.ancestors, SizeIs(1)) << tree;
    EXPECT_EQ(found.ancestors[0].path, "/kubepods.slice");
    EXPECT_EQ(found.ancestors[0].count, 200U);
    ASSERT_TRUE(found.ancestors[0].bytes);
    EXPECT_GE(*found.ancestors[0].bytes, 200U * 4096);
    EXPECT_FALSE(found.residual);
  }
}

TEST(Attribution, DoesNotKnowWhetherSlabPinsWithoutSlabinfo) {
  for (const char* tree : {"linux-5.4-v1-numa2/2-zombies", "linux-6.1-v2-numa2/2-zombies"})
    EXPECT_EQ(must(zombies::attribute(test::captured(tree), patient())).slab, SlabPins::unknown)
        << tree;
}

TEST(Attribution, WithoutZombiesIsEmptyOnV2) {
  EXPECT_THAT(
      must(zombies::attribute(test::captured("linux-6.1-v2-numa2/1-fresh"), patient())).ancestors,
      IsEmpty());
}

/// A machine with memory on v1 and use_hierarchy 1, where the test writes each cgroup's
/// memory.stat.
class MadeAttribution : public ::testing::Test {
 protected:
  void SetUp() override {
    machine_.put_v1("memory");
    machine_.put("proc/cgroups", "memory\t4\t9\t1\n");
    machine_.put("proc/vmstat",
                 "nr_inactive_anon 101\nnr_active_anon 2\nnr_inactive_file 300\nnr_active_file 40\n"
                 "nr_unevictable 5\nnr_mapped 60\nnr_shmem 7\n");
  }
  void put(const std::string& path, std::uint64_t own, std::uint64_t total) const {
    machine_.put("sys/fs/cgroup/memory" + path + "/memory.stat",
                 "cache " + std::to_string(own) + "\nrss 0\ntotal_cache " + std::to_string(total) +
                     "\ntotal_rss 0\n");
    machine_.put("sys/fs/cgroup/memory" + path + "/memory.use_hierarchy", "1\n");
  }
  [[nodiscard]] zombies::Attribution attribute(
      const zombies::AttributionLimits& limits = patient()) const {
    return must(zombies::attribute(must(machine_.host()), limits));
  }
  [[nodiscard]] std::optional<std::uint64_t> bytes_of(std::string_view path) const {
    const auto found = attribute();
    const auto* const ancestor = find(found, path);
    return ancestor == nullptr ? std::nullopt : ancestor->bytes;
  }

  test::MadeMachine machine_{test::v1_mount("/sys/fs/cgroup/memory", "memory")};
};

TEST_F(MadeAttribution, SubtractsTheCgroupAndItsLiveChildren) {
  put("", 100, 10'000);
  put("/a", 1000, 9000);
  put("/a/b", 3000, 3500);
  put("/a/c", 200, 200);
  EXPECT_EQ(bytes_of("/"), 10'000U - 100 - 9000);
  EXPECT_EQ(bytes_of("/a"), 9000U - 1000 - 3500 - 200);
  EXPECT_EQ(bytes_of("/a/b"), 500U);
  EXPECT_EQ(bytes_of("/a/c"), std::nullopt);
}

TEST_F(MadeAttribution, NamesTheOneWithMostFirst) {
  put("", 0, 600);
  put("/less", 0, 100);
  put("/more", 0, 500);
  const auto found = attribute();
  ASSERT_THAT(found.ancestors, SizeIs(2));
  EXPECT_EQ(found.ancestors[0].path, "/more");
  EXPECT_EQ(found.ancestors[1].path, "/less");
}

TEST_F(MadeAttribution, IsNeverBelowZeroWhenFiguresDrift) {
  put("", 100, 90);
  put("/a", 10, 200);
  EXPECT_EQ(bytes_of("/"), std::nullopt);
  EXPECT_EQ(bytes_of("/a"), 190U);
}

TEST_F(MadeAttribution, IsUnknownAboveACgroupWithoutHierarchy) {
  put("", 0, 1000);
  put("/a", 0, 1000);
  put("/a/b", 0, 10);
  machine_.put("sys/fs/cgroup/memory/a/memory.use_hierarchy", "0\n");
  const auto found = attribute();
  ASSERT_NE(find(found, "/a"), nullptr);
  EXPECT_EQ(find(found, "/a")->bytes, std::nullopt);
  EXPECT_EQ(find(found, "/a/b")->bytes, 10U);
}

TEST_F(MadeAttribution, StopsAtItsTimeLimitWithoutAResidual) {
  put("", 0, 1000);
  put("/a", 0, 1000);
  zombies::AttributionLimits limits;
  limits.total = 0ns;
  const auto found = attribute(limits);
  EXPECT_FALSE(found.complete);
  EXPECT_EQ(found.skipped, 1U);
  EXPECT_FALSE(found.residual);
  EXPECT_THAT(found.ancestors, IsEmpty());
}

TEST_F(MadeAttribution, StopsAfterOneReadThatIsTooSlow) {
  put("", 0, 1000);
  put("/a", 0, 1000);
  zombies::AttributionLimits limits;
  limits.slowest_read = 0ns;
  EXPECT_FALSE(attribute(limits).complete);
}

TEST_F(MadeAttribution, HasTheResidualOfTheWholeMachineInBytes) {
  put("", 0, 0);
  machine_.put("sys/fs/cgroup/memory/memory.stat",
               "inactive_file 4096\nactive_file 8192\nmapped_file 40960\nshmem 4096\n"
               "inactive_anon 4096\nunevictable 4096\n");
  const auto residual = attribute().residual;
  ASSERT_TRUE(residual);
  const std::uint64_t page = must(machine_.host()).page_size();
  EXPECT_EQ(residual->file, 340 * page - 12288);
  EXPECT_EQ(residual->mapped, 60 * page - 40960);
  EXPECT_EQ(residual->shmem, 7 * page - 4096);
  EXPECT_EQ(residual->anon, 103 * page - 4096);
  EXPECT_EQ(residual->unevictable, 5 * page - 4096);
}

TEST_F(MadeAttribution, IgnoresAnonymousMemoryBelowTheDriftOfTheCpus) {
  put("", 0, 0);
  machine_.put("sys/fs/cgroup/memory/memory.stat", "inactive_anon 4096\n");
  const std::uint64_t page = must(machine_.host()).page_size();
  machine_.put("sys/devices/system/cpu/possible", "0-3\n");
  EXPECT_EQ(attribute().residual->anon, 0U) << "102 of up to 4 x 32 pages";
  machine_.put("sys/devices/system/cpu/possible", "0-2\n");
  EXPECT_EQ(attribute().residual->anon, 103 * page - 4096);
}

TEST_F(MadeAttribution, HasNoResidualWithoutVmstat) {
  put("", 0, 0);
  std::filesystem::remove(machine_.path("proc/vmstat"));
  EXPECT_FALSE(attribute().residual);
}

TEST_F(MadeAttribution, LearnsThatSlabPinsFromALeafWhoseSlabinfoHasLines) {
  put("", 0, 0);
  put("/a", 0, 0);
  EXPECT_EQ(attribute().slab, SlabPins::unknown);
  machine_.put("sys/fs/cgroup/memory/a/memory.kmem.usage_in_bytes", "4096\n");
  machine_.put("sys/fs/cgroup/memory/a/memory.kmem.slabinfo", "");
  EXPECT_EQ(attribute().slab, SlabPins::no);
  machine_.put("sys/fs/cgroup/memory/a/memory.kmem.slabinfo", "slabinfo - version: 2.1\n");
  EXPECT_EQ(attribute().slab, SlabPins::yes);
  machine_.put("sys/fs/cgroup/memory/a/memory.kmem.usage_in_bytes", "0\n");
  EXPECT_EQ(attribute().slab, SlabPins::unknown)
      << "without kernel memory the figure means nothing";
}

TEST(Residual, LeavesMappedFilesOutOfWhatCanBeFreed) {
  zombies::Residual left;
  left.file = 100;
  left.mapped = 30;
  left.shmem = 10;
  EXPECT_EQ(left.freeable(), 80U) << "at most: all shmem is mapped";
  EXPECT_EQ(left.surely_freeable(), 70U) << "at least: no shmem is";
}

TEST(Residual, IsNeverNegative) {
  zombies::Residual left;
  left.file = 10;
  left.mapped = 300;
  left.shmem = 20;
  EXPECT_EQ(left.freeable(), 0U);
  EXPECT_EQ(left.surely_freeable(), 0U);
  left.mapped = 5;
  EXPECT_EQ(left.freeable(), 10U) << "less is mapped than shmem: perhaps no file is";
}

}  // namespace zombies_test
