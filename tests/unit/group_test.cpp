// SPDX-FileCopyrightText: The cgctl authors
// SPDX-License-Identifier: MIT
#include "cgctl/group.hpp"

#include <fcntl.h>
#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <sys/mount.h>

#include <cerrno>
#include <filesystem>
#include <string>

#include "../support/captures.hpp"
#include "../support/child.hpp"
#include "../support/made.hpp"
#include "../support/result.hpp"
#include "../support/skip.hpp"
#include "cgctl/parse.hpp"

namespace group_test {

using namespace cgctl;
using test::fails;
using test::must;
using test::ok;
using ::testing::ElementsAre;
using ::testing::HasSubstr;
using ::testing::IsEmpty;

TEST(Group, IsOpenedByItsPathAndReadByTheKernelsFileNames) {
  const Host host = test::captured("linux-5.4-v1-numa2/2-zombies");
  const Group group = must(host.open("/kubepods/pod-b"));
  const std::string stat = must(group.read("memory.stat"));
  EXPECT_EQ(parse::value_of(stat, "cache"), 20951040U);
  EXPECT_EQ(group.path(), "/kubepods/pod-b");
  EXPECT_THAT(group.shown("memory.stat"),
              ::testing::EndsWith("/sys/fs/cgroup/memory/kubepods/pod-b/memory.stat"));
}

TEST(Group, OfAHybridHostTakesEachFileFromItsControllersHierarchy) {
  const Host host = test::captured("linux-6.18-hybrid/2-zombies");
  const Group group = must(host.open("cgctl-capture/kubepods/pod-a"));
  EXPECT_EQ(must(group.place("memory"))->hierarchy->version, Version::v1);
  EXPECT_TRUE(ok(group.read("memory.stat")));
  EXPECT_TRUE(ok(group.read("cpu.shares")));
  EXPECT_THAT(group.shown("cpu.shares"), HasSubstr("/cpu/cgctl-capture/"));
  EXPECT_THAT(group.shown("cgroup.procs"), HasSubstr("/unified/")) << "v2 first";
  EXPECT_EQ(group.places().front().hierarchy->version, Version::v2);
}

TEST(Group, OfTheRootOpensByEveryNameOfTheRoot) {
  const Host host = test::captured("linux-6.1-v2-numa2/1-fresh");
  for (const char* path : {"/", "", ".", "//"}) {
    const Group root = must(host.open(path));
    EXPECT_EQ(root.path(), "/");
    EXPECT_THAT(must(root.children()), ElementsAre("kubepods.slice"));
  }
}

/// A machine with memory on v1, cpu and cpuacct together on v1, and io on v2. "/a" is in all
/// hierarchies, "/a/only" in memory's, "/cpu-only" in cpu's.
class MadeGroups : public ::testing::Test {
 protected:
  void SetUp() override {
    machine_.put_v1("memory");
    machine_.put_v1("cpu,cpuacct");
    machine_.put_v2("unified", "io hugetlb");
    for (const char* hierarchy : {"memory", "cpu,cpuacct", "unified"})
      machine_.put("sys/fs/cgroup/" + std::string(hierarchy) + "/a/cgroup.procs", "1\n");
    machine_.put("sys/fs/cgroup/memory/a/memory.stat", "cache 4096\n");
    machine_.put("sys/fs/cgroup/memory/a/tasks", "1\n2\n");
    machine_.put("sys/fs/cgroup/memory/a/only/cgroup.procs", "");
    machine_.put("sys/fs/cgroup/cpu,cpuacct/a/cpuacct.usage", "77\n");
    machine_.put("sys/fs/cgroup/cpu,cpuacct/cpu-only/cgroup.procs", "");
    machine_.put("sys/fs/cgroup/unified/a/io.stat", "254:0 rbytes=1\n");
    machine_.put("sys/fs/cgroup/unified/a/tasks", "none on v2\n");
    machine_.put("sys/fs/cgroup/unified/a/both/cgroup.procs", "");
    machine_.put("sys/fs/cgroup/memory/a/both/cgroup.procs", "");
  }
  [[nodiscard]] Host host() const { return must(machine_.host()); }
  [[nodiscard]] Group group(std::string_view path) const { return must(host().open(path)); }

  test::MadeMachine machine_{test::v1_mount("/sys/fs/cgroup/memory", "memory") +
                             test::v1_mount("/sys/fs/cgroup/cpu,cpuacct", "cpu,cpuacct") +
                             test::v2_mount("/sys/fs/cgroup/unified")};
};

TEST_F(MadeGroups, FindAFileByTheControllerInItsName) {
  EXPECT_EQ(must(group("/a").read("memory.stat")), "cache 4096\n");
  EXPECT_EQ(must(group("/a").read("cpuacct.usage")), "77\n");
  EXPECT_EQ(must(group("/a").read("io.stat")), "254:0 rbytes=1\n");
}

TEST_F(MadeGroups, ReadFilesOfNoControllerFromTheFirstHierarchyV2First) {
  EXPECT_EQ(must(group("/a").read("tasks")), "none on v2\n");
  EXPECT_EQ(must(group("/a").read("cgroup.procs")), "1\n");
  EXPECT_THAT(group("/a").shown("cgroup.procs"), HasSubstr("/unified/a/cgroup.procs"));
  EXPECT_THAT(group("/a/only").shown("tasks"), HasSubstr("/memory/a/only/tasks"));
}

TEST_F(MadeGroups, HaveSortedChildrenOfAllHierarchies) {
  EXPECT_THAT(must(group("/").children()), ElementsAre("a", "cpu-only"));
  EXPECT_THAT(must(group("/a").children()), ElementsAre("both", "only"));
  EXPECT_THAT(must(group("/a/only").children()), IsEmpty());
}

TEST_F(MadeGroups, HaveNamesOfAnyBytes) {
  const std::string odd = "a b\tc\\n\"'$(x)\x01\xff";
  machine_.put("sys/fs/cgroup/memory/" + odd + "/memory.stat", "cache 1\n");
  EXPECT_EQ(must(group(odd).read("memory.stat")), "cache 1\n");
  EXPECT_THAT(must(group("/").children()), ::testing::Contains(odd));
}

TEST_F(MadeGroups, ThatDoNotExistAreVanished) {
  const auto none = host().open("/no/such");
  ASSERT_TRUE(fails(none, errc::vanished));
  EXPECT_EQ(none.error().os_errno, ENOENT);
  EXPECT_THAT(none.error().message(), HasSubstr("/no/such: the cgroup does not exist"));
}

TEST(Group, OfNoControllerIsRefused) {
  const Host host = test::captured("linux-5.4-v1-numa2/2-zombies");
  EXPECT_TRUE(fails(Group::open(host, "/kubepods", {}), errc::invalid_argument));
}

TEST(Group, ThatWasMovedFromIsGone) {
  Group from = must(test::captured("linux-5.4-v1-numa2/2-zombies").open("/kubepods"));
  const Group to = std::move(from);
  EXPECT_TRUE(fails(from.children(), errc::vanished));     // NOLINT(bugprone-use-after-move)
  EXPECT_TRUE(fails(from.read("tasks"), errc::vanished));  // NOLINT(bugprone-use-after-move)
  EXPECT_THAT(must(to.children()), ElementsAre("pod-a", "pod-b"));
}

TEST_F(MadeGroups, AreReportedAsVanishedIfTheControllersHierarchyLacksThem) {
  const auto stat = group("/cpu-only").read("memory.stat");
  ASSERT_TRUE(fails(stat, errc::vanished));
  EXPECT_THAT(stat.error().path, HasSubstr("/memory/cpu-only"));
  EXPECT_TRUE(fails(group("/cpu-only").place("memory"), errc::vanished));
}

TEST_F(MadeGroups, HaveNoPlaceForAControllerThatTheHostLacks) {
  EXPECT_TRUE(fails(group("/a").place("rdma"), errc::unsupported));
  EXPECT_TRUE(fails(group("/a").read("rdma.max"), errc::unsupported));
}

TEST_F(MadeGroups, TellAFileTheKernelLacksFromARemovedCgroup) {
  const Group a = group("/a");
  const auto missing = a.read("memory.reclaim");
  ASSERT_TRUE(fails(missing, errc::unsupported));
  EXPECT_EQ(missing.error().os_errno, ENOENT);

  std::filesystem::remove_all(machine_.cgroup("memory/a"));
  EXPECT_TRUE(fails(a.read("memory.reclaim"), errc::vanished));
  EXPECT_TRUE(fails(a.read("memory.stat"), errc::vanished));
}

TEST_F(MadeGroups, AreNotMistakenForNewOnesOfTheSameName) {
  const Group a = group("/a");
  std::filesystem::remove_all(machine_.cgroup("memory/a"));
  machine_.put("sys/fs/cgroup/memory/a/memory.stat", "of another\n");
  machine_.put("sys/fs/cgroup/memory/a/cgroup.procs", "");
  EXPECT_TRUE(fails(a.read("memory.stat"), errc::vanished));
  EXPECT_EQ(must(group("/a").read("memory.stat")), "of another\n");
}

TEST_F(MadeGroups, SayOnV2HowAControllerIsEnabled) {
  const auto missing = group("/a").read("io.max");
  ASSERT_TRUE(fails(missing, errc::unsupported));
  EXPECT_THAT(missing.error().hint, HasSubstr("+io"));
  EXPECT_THAT(missing.error().hint, HasSubstr("cgroup.subtree_control"));
}

TEST_F(MadeGroups, HaveNoPressureOnV1Alone) {
  const auto pressure = group("/a/only").read("memory.pressure");
  ASSERT_TRUE(fails(pressure, errc::unsupported));
  EXPECT_THAT(pressure.error().reason, HasSubstr("v2"));
}

TEST_F(MadeGroups, ListNoChildrenOnceTheyAreRemoved) {
  const Group a = group("/a");
  for (const char* hierarchy : {"memory/a", "cpu,cpuacct/a", "unified/a"})
    std::filesystem::remove_all(machine_.cgroup(hierarchy));
  EXPECT_TRUE(fails(a.children(), errc::vanished));
}

TEST_F(MadeGroups, OpenNoFileThatIsNotDirectlyInThem) {
  const Group a = group("/a");
  for (const char* file : {"", ".", "..", "only/cgroup.procs", "../a/memory.stat", "/etc/passwd"})
    EXPECT_TRUE(fails(a.open_file(file, O_RDONLY), errc::outside)) << file;
  EXPECT_TRUE(fails(a.open_file(std::string_view("tasks\0", 6), O_RDONLY), errc::invalid_argument));
  EXPECT_TRUE(fails(a.open_file(std::string(256, 'x'), O_RDONLY), errc::invalid_argument));
}

TEST_F(MadeGroups, FollowNoSymbolicLink) {
  std::filesystem::create_symlink("/etc/hostname", machine_.cgroup("memory/a/memory.link"));
  std::filesystem::create_directory_symlink("/etc", machine_.cgroup("memory/etc"));
  EXPECT_TRUE(fails(group("/a").read("memory.link"), errc::outside));
  EXPECT_TRUE(fails(host().open("/etc"), errc::outside));
  EXPECT_TRUE(fails(host().open("/etc/ssl"), errc::outside));
}

TEST_F(MadeGroups, AreNotOpenedThroughPathsThatLeaveTheHierarchy) {
  EXPECT_TRUE(fails(host().open("../memory/a"), errc::outside));
  EXPECT_TRUE(fails(host().open("/a/.."), errc::outside));
  EXPECT_TRUE(fails(host().open(std::string_view("/a\0", 3)), errc::invalid_argument));
}

TEST_F(MadeGroups, AreNotConfusedWithAMountOverThem) {
  if (const auto why = test::cannot_mount(); !why.empty()) return test::skip(why);
  EXPECT_EQ(test::in_private_mounts([&]() -> std::string {
              const std::string over = machine_.cgroup("memory/a/only");
              if (::mount("tmpfs", over.c_str(), "tmpfs", 0, nullptr) != 0) return "mount failed";
              const auto mounted = fails(host().open("/a/only"), errc::outside);
              return mounted ? "" : mounted.message();
            }),
            "");
}

TEST_F(MadeGroups, OutliveTheHostTheyWereOpenedThrough) {
  std::optional<Group> kept;
  {
    const Host host = must(machine_.host());
    kept.emplace(must(host.open("/a")));
  }
  EXPECT_EQ(must(kept->read("memory.stat")), "cache 4096\n");
  EXPECT_EQ(kept->host().mode(), Mode::hybrid);
}

}  // namespace group_test
