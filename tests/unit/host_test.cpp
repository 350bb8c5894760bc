// SPDX-FileCopyrightText: The cgctl authors
// SPDX-License-Identifier: MIT
#include "cgctl/host.hpp"

#include <fcntl.h>
#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <unistd.h>

#include <filesystem>
#include <optional>
#include <string>
#include <thread>
#include <utility>
#include <vector>

#include "../support/captures.hpp"
#include "../support/made.hpp"
#include "../support/result.hpp"
#include "cgctl/group.hpp"

namespace host_test {

using namespace cgctl;
using test::fails;
using test::MadeMachine;
using test::must;
using test::ok;
using test::v1_mount;
using test::v2_mount;
using ::testing::ElementsAre;
using ::testing::HasSubstr;
using ::testing::IsEmpty;
using ::testing::SizeIs;

TEST(Host, KnowsWhereEachControllerIsAndInWhichVersion) {
  const Host host = test::captured("linux-6.18-hybrid/2-zombies");
  EXPECT_EQ(host.mode(), Mode::hybrid);
  const Hierarchy* const memory = host.find("memory");
  ASSERT_NE(memory, nullptr);
  EXPECT_EQ(memory->version, Version::v1);
  EXPECT_THAT(memory->mount_point, ::testing::EndsWith("/sys/fs/cgroup/memory"));
  EXPECT_EQ(memory->mount_root, "/");
  EXPECT_TRUE(memory->whole);
  ASSERT_NE(host.find("hugetlb"), nullptr);
  EXPECT_EQ(host.find("hugetlb")->version, Version::v2);
  EXPECT_EQ(host.unified(), host.find("hugetlb"));
  EXPECT_EQ(host.find("rdma"), nullptr);
}

TEST(Host, IsHybridWithMemoryOnV2BesideControllersOnV1) {
  const Host host = test::captured("linux-6.1-hybrid-numa2/2-zombies");
  EXPECT_EQ(host.mode(), Mode::hybrid);
  EXPECT_THAT(host.unified()->controllers, ElementsAre("io", "memory", "pids"));
  EXPECT_EQ(host.find("memory"), host.unified());
  EXPECT_EQ(host.find("cpu")->version, Version::v1);
  EXPECT_THAT(host.find("cpu")->mount_point, ::testing::EndsWith("/sys/fs/cgroup/cpu,cpuacct"));
  EXPECT_EQ(must(host.open("/cgctl-capture/kubepods/pod-a")).places().size(), 2U);
}

TEST(Host, OfV1KeepsControllersThatShareAMountTogether) {
  const Host host = test::captured("linux-5.4-v1-numa2/2-zombies");
  EXPECT_EQ(host.mode(), Mode::v1);
  EXPECT_THAT(host.find("cpu")->controllers, ElementsAre("cpu", "cpuacct"));
  EXPECT_EQ(host.find("cpu"), host.find("cpuacct"));
  EXPECT_NE(host.find("cpu"), host.find("memory"));
  EXPECT_EQ(host.unified(), nullptr);
}

TEST(Host, OfV2AloneHasAllControllersInOneHierarchy) {
  const Host host = test::captured("linux-6.1-v2-numa2/2-zombies");
  EXPECT_EQ(host.mode(), Mode::v2);
  ASSERT_THAT(host.hierarchies(), SizeIs(1));
  EXPECT_THAT(host.unified()->controllers,
              ElementsAre("cpuset", "cpu", "io", "memory", "hugetlb", "pids", "rdma", "misc"));
  EXPECT_TRUE(host.unified()->whole);
}

TEST(Host, IsNotLiveAsACapturedTree) {
  EXPECT_FALSE(test::captured("linux-6.1-v2-numa2/2-zombies").live());
}

TEST(Host, IsHybridWithAnEmptyUnifiedHierarchyBesideV1) {
  const Host host = test::captured("linux-6.1-v1-numa2/1-fresh");
  EXPECT_EQ(host.mode(), Mode::hybrid);
  EXPECT_THAT(host.unified()->controllers, IsEmpty());
}

TEST(Host, HasNoMemoryControllerIfItIsOnV2AndV2IsNotMounted) {
  const Host host = test::captured("linux-7.2-v1-numa2/1-fresh");
  EXPECT_EQ(host.mode(), Mode::v1);
  EXPECT_NE(host.find("cpu"), nullptr);
  EXPECT_EQ(host.find("memory"), nullptr);
  EXPECT_TRUE(fails(host.require("memory"), errc::unsupported));
}

TEST(Host, CanBeCopiedAndKeepsItsHierarchies) {
  const Host host = test::captured("linux-5.4-v1-numa2/2-zombies");
  const Host copy = host;  // NOLINT(performance-unnecessary-copy-initialization): it is the subject
  EXPECT_EQ(copy.find("memory"), host.find("memory"));
}

TEST(Host, IsClosedWithItsLastCopyWhereverThatIs) {
  std::optional<Host> first = test::captured("linux-5.4-v1-numa2/2-zombies");
  const int directory = first->hierarchies().front().directory.get();
  const auto is_open = [directory] { return ::fcntl(directory, F_GETFD) != -1; };
  {
    Host last = *first;
    Host moved = std::move(*first);
    first.reset();
    last = moved;
    std::vector<std::thread> users;
    for (int i = 0; i < 4; ++i) {
      users.emplace_back([copy = last] {
        for (int round = 0; round < 10000; ++round) {
          const Host another = copy;
          EXPECT_FALSE(another.hierarchies().empty());
        }
      });
    }
    for (std::thread& user : users) user.join();
    EXPECT_TRUE(is_open());
  }
  EXPECT_FALSE(is_open());
}

TEST(HostWithNamedHierarchies, DistinguishesThemByTheirNames) {
  const MadeMachine machine(v1_mount("/sys/fs/cgroup/systemd", "xattr,name=systemd") +
                            v1_mount("/sys/fs/cgroup/other", "none,name=other") +
                            v1_mount("/sys/fs/cgroup/both", "pids,name=both"));
  for (const char* hierarchy : {"systemd", "other", "both"}) machine.put_v1(hierarchy);
  const Host host = must(machine.host());
  ASSERT_THAT(host.hierarchies(), SizeIs(3));
  EXPECT_EQ(host.hierarchies()[0].name, "systemd");
  EXPECT_THAT(host.hierarchies()[0].controllers, IsEmpty());
  EXPECT_EQ(host.hierarchies()[1].name, "other");
  EXPECT_EQ(host.find("pids")->name, "both");
  EXPECT_EQ(host.find("name=other"), &host.hierarchies()[1]);
  EXPECT_EQ(host.find("name=both"), host.find("pids"));
  EXPECT_EQ(host.find("name=none"), nullptr);
  EXPECT_EQ(host.find("name="), nullptr);
}

TEST(HostWithAnUnknownController, FindsItByItsRowInProcCgroups) {
  const MadeMachine machine(v1_mount("/sys/fs/cgroup/new", "newcomer,xattr"));
  machine.put_v1("new");
  EXPECT_EQ(must(machine.host()).find("newcomer"), nullptr);
  machine.put("proc/cgroups", "#subsys_name\thierarchy\tnum_cgroups\tenabled\nnewcomer\t3\t1\t1\n");
  const Host host = must(machine.host());
  EXPECT_NE(host.find("newcomer"), nullptr);
  EXPECT_EQ(host.find("xattr"), nullptr);
}

TEST(HostWithOddMountPoints, DecodesTheirEscapes) {
  const MadeMachine machine(v1_mount("/sys/fs/cgroup/a\\040b\\011c\\012d\\134040e", "memory"));
  machine.put_v1("a b\tc\nd\\040e");
  const Host host = must(machine.host());
  ASSERT_NE(host.find("memory"), nullptr);
  EXPECT_EQ(host.find("memory")->mount_point, machine.cgroup("a b\tc\nd\\040e"));
  EXPECT_TRUE(host.find("memory")->whole);
}

TEST(HostInACgroupNamespace, DoesNotShowTheWholeHierarchy) {
  for (const char* root : {"/..", "/../..", "/docker/0123456789abcdef", "/../../other"}) {
    const MadeMachine machine(v1_mount("/sys/fs/cgroup/memory", "memory", root) +
                              v2_mount("/sys/fs/cgroup/unified", root));
    machine.put_v1("memory");
    machine.put_v2("unified", "io");
    const Host host = must(machine.host());
    EXPECT_FALSE(host.find("memory")->whole) << root;
    EXPECT_EQ(host.find("memory")->mount_root, root);
    EXPECT_FALSE(host.unified()->whole) << root;
  }
}

TEST(HostInACgroupNamespace, IsKnownByTheFilesThatARootLacksThere) {
  const MadeMachine machine(v1_mount("/sys/fs/cgroup/memory", "memory") +
                            v2_mount("/sys/fs/cgroup/unified"));
  machine.put("sys/fs/cgroup/memory/cgroup.procs", "");
  machine.put_v2("unified", "io");
  machine.put("sys/fs/cgroup/unified/cgroup.type", "domain\n");
  const Host host = must(machine.host());
  EXPECT_FALSE(host.find("memory")->whole) << "cgroup.sane_behavior is in a v1 root only";
  EXPECT_FALSE(host.unified()->whole) << "cgroup.type is everywhere but in a v2 root";
}

TEST(HostWithSeveralMountsOfAHierarchy, TakesTheOneThatShowsItWhole) {
  const std::string part = v1_mount("/sys/fs/cgroup/part", "memory", "/pod");
  const std::string whole = v1_mount("/sys/fs/cgroup/whole", "memory");
  const std::string unified_part = v2_mount("/sys/fs/cgroup/unified-part", "/pod");
  const std::string unified_whole = v2_mount("/sys/fs/cgroup/unified");
  for (const std::string& mountinfo :
       {part + whole + unified_part + unified_whole, unified_whole + whole + unified_part + part}) {
    const MadeMachine machine(mountinfo);
    machine.put("sys/fs/cgroup/part/cgroup.procs", "");
    machine.put_v1("whole");
    machine.put_v2("unified-part", "io");
    machine.put_v2("unified", "io");
    const Host host = must(machine.host());
    EXPECT_THAT(host.hierarchies(), SizeIs(2));
    EXPECT_EQ(host.find("memory")->mount_point, machine.cgroup("whole"));
    EXPECT_EQ(host.unified()->mount_point, machine.cgroup("unified"));
  }
}

TEST(HostWithSeveralMountsOfAHierarchy, TakesTheFirstOfEqualOnes) {
  const MadeMachine machine(v1_mount("/sys/fs/cgroup/first", "memory") +
                            v1_mount("/sys/fs/cgroup/second", "memory"));
  machine.put_v1("first");
  machine.put_v1("second");
  const Host host = must(machine.host());
  EXPECT_EQ(host.find("memory")->mount_point, machine.cgroup("first"));
}

TEST(HostWithAPartBoundAlone, IsMarkedAsIncomplete) {
  const MadeMachine machine(v1_mount("/sys/fs/cgroup/memory", "memory", "/kubepods/pod-a"));
  machine.put("sys/fs/cgroup/memory/cgroup.procs", "");
  const Host host = must(machine.host());
  EXPECT_FALSE(host.find("memory")->whole);
  EXPECT_EQ(host.find("memory")->mount_root, "/kubepods/pod-a");
}

TEST(HostWithControllersInUnusualPlaces, FindsThemThereByDefault) {
  const test::TempDirectory tree;
  const std::string memory = tree / "cgroup/memory";
  test::put_file(memory + "/cgroup.sane_behavior", "0\n");
  test::put_file(tree / "proc/self/mountinfo", v1_mount(memory, "memory"));
  Roots roots;
  roots.proc = tree / "proc";
  const Host host = must(Host::detect(roots));
  ASSERT_NE(host.find("memory"), nullptr);
  EXPECT_EQ(host.find("memory")->mount_point, memory);
  EXPECT_TRUE(host.find("memory")->whole);
}

TEST(HostWithoutCgroups, IsUnsupportedAndSaysHowToMountThem) {
  const MadeMachine machine("22 27 0:21 / /proc rw,relatime - proc proc rw\n");
  const auto host = machine.host();
  ASSERT_TRUE(fails(host, errc::unsupported));
  EXPECT_THAT(host.error().reason, HasSubstr("no cgroup file system is mounted"));
  EXPECT_THAT(host.error().hint, HasSubstr("mount -t cgroup2"));
}

TEST(HostWithoutCgroups, KnowsLxcfs) {
  const MadeMachine machine(
      "600 597 0:52 /cgroup/memory /sys/fs/cgroup/memory rw,relatime - fuse.lxcfs lxcfs rw\n");
  const auto host = machine.host();
  ASSERT_TRUE(fails(host, errc::unsupported));
  EXPECT_THAT(host.error().reason, HasSubstr("lxcfs shows a container's view"));
}

TEST(HostWithoutCgroups, IsUnsupportedAlsoWithAnEmptyMountinfo) {
  EXPECT_TRUE(fails(MadeMachine("").host(), errc::unsupported));
}

TEST(HostWhoseMountsCannotBeReached, ListsThem) {
  const auto host = MadeMachine(v1_mount("/sys/fs/cgroup/memory", "memory")).host();
  ASSERT_TRUE(fails(host, errc::unsupported));
  EXPECT_THAT(host.error().reason, HasSubstr("not reachable"));
}

TEST(HostWhoseMountsCannotBeReached, HasTheReachableMounts) {
  const MadeMachine machine(v1_mount("/sys/fs/cgroup/memory", "memory") +
                            v1_mount("/sys/fs/cgroup/cpu", "cpu"));
  machine.put_v1("cpu");
  const Host host = must(machine.host());
  EXPECT_THAT(host.hierarchies(), SizeIs(1));
  EXPECT_EQ(host.find("memory"), nullptr);
}

TEST(HostWithoutProc, SaysHowToNameIt) {
  const test::TempDirectory tree;
  const auto host = Host::detect(test::roots_of(tree.path()));
  ASSERT_TRUE(fails(host, errc::system));
  EXPECT_THAT(host.error().message(), HasSubstr("/proc/self/mountinfo"));
  EXPECT_THAT(host.error().hint, HasSubstr("Roots::proc"));
}

TEST(HostWithAMountinfoLongerThanAPage, HasWhatIsAtItsEnd) {
  std::string mountinfo;
  for (int i = 0; mountinfo.size() < 100000; ++i)
    mountinfo += std::to_string(100 + i) + " 27 0:50 / /var/lib/overlay/" + std::to_string(i) +
                 " rw,relatime shared:7 - overlay overlay rw,lowerdir=/l,upperdir=/u\n";
  const MadeMachine machine(mountinfo + v1_mount("/sys/fs/cgroup/memory", "memory"));
  machine.put_v1("memory");
  EXPECT_NE(must(machine.host()).find("memory"), nullptr);
}

TEST(HostBelowAnotherRoot, IsLookedForThereWhenMountinfoNamesTheStandardOne) {
  const MadeMachine machine(v2_mount("/sys/fs/cgroup") + v1_mount("/elsewhere/memory", "memory"));
  machine.put_v2("", "io");
  const Host host = must(machine.host());
  ASSERT_THAT(host.hierarchies(), SizeIs(1)) << "mounts elsewhere are not below that root";
  EXPECT_EQ(host.unified()->mount_point, machine.cgroup("").parent_path());
}

TEST(HostBelowAnotherRoot, IsTakenAsItIsWhenMountinfoNamesThatRoot) {
  const test::TempDirectory tree;
  const std::string mount_point = tree / "host/cgroup/memory";
  test::put_file(mount_point + "/cgroup.sane_behavior", "0\n");
  test::put_file(tree / "host/cgroup/cpu/cgroup.sane_behavior", "0\n");
  test::put_file(tree / "proc/self/mountinfo",
                 v1_mount("/sys/fs/cgroup/cpu", "cpu") + v1_mount(mount_point, "memory"));
  const Host host = must(Host::detect({tree / "host/cgroup", tree / "proc", tree / "sys"}));
  EXPECT_EQ(host.find("memory")->mount_point, mount_point);
  EXPECT_EQ(host.find("cpu"), nullptr)
      << "with mounts of its own below the root, the container's are not the host's";
}

TEST(HostBelowAnotherRoot, MayBeNamedWithSlashesAtTheEnd) {
  const MadeMachine machine(v1_mount("/sys/fs/cgroup/memory", "memory"));
  machine.put_v1("memory");
  Roots roots = machine.roots();
  roots.cgroup += "//";
  EXPECT_EQ(must(Host::detect(roots)).find("memory")->mount_point, machine.cgroup("memory"));
}

TEST(HostBelowAnotherRoot, IsNotConfusedWithANameThatBeginsTheSame) {
  const test::TempDirectory tree;
  test::put_file(tree / "root-b/memory/cgroup.sane_behavior", "0\n");
  test::put_file(tree / "proc/self/mountinfo", v1_mount(tree / "root-b/memory", "memory"));
  EXPECT_TRUE(fails(Host::detect({tree / "root", tree / "proc", tree / "sys"}), errc::unsupported));
}

TEST(HostBelowAnotherRoot, IsNotReachedThroughALinkOrDotDot) {
  const MadeMachine linked(v1_mount("/sys/fs/cgroup/memory", "memory"));
  linked.put_v1("real");
  std::filesystem::create_directory_symlink("real", linked.cgroup("memory"));
  EXPECT_TRUE(fails(linked.host(), errc::outside));
  const MadeMachine above(v1_mount("/sys/fs/cgroup/x/../memory", "memory"));
  above.put_v1("memory");
  above.put_v1("x");
  EXPECT_TRUE(fails(above.host(), errc::outside));
}

TEST(RelativePath, IsNotThatOfADirectory) {
  const MadeMachine machine(v1_mount("/sys/fs/cgroup/cpu,cpuacct", "cpu,cpuacct") +
                            v1_mount("/sys/fs/cgroup/memory", "memory"));
  machine.put_v1("cpu,cpuacct");
  machine.put_v1("memory");
  const Host host = must(machine.host());
  EXPECT_EQ(must(host.relative_path("/a//b/")), "a/b");
  EXPECT_EQ(must(host.relative_path("/sys/fs")), "sys/fs");
  const std::string root = host.roots().cgroup;
  for (const char* below : {"/memory/a/b", "/cpu,cpuacct/a/b", "/cpu/a/b"}) {
    const auto path = host.relative_path(root + below);
    ASSERT_TRUE(fails(path, errc::invalid_argument)) << below;
    EXPECT_EQ(path.error().hint, "the cgroup is /a/b") << below;
  }
  EXPECT_EQ(host.relative_path(root + "/memory").error().hint, "the cgroup is /");
}

TEST(PageSize, IsTheOneOfTheMachineCaptured) {
  EXPECT_EQ(test::captured("linux-5.4-v1-numa2/1-fresh").page_size(), 4096U);
  EXPECT_EQ(test::captured("linux-6.1-v2-numa2/3-after-reclaim").page_size(), 4096U);
  EXPECT_EQ(test::captured("linux-6.18-hybrid/2-zombies").page_size(), 4096U);
}

/// Returns the page size of a made-up machine with this meminfo and vmstat.
std::uint64_t page_size_of(std::string_view meminfo, std::string_view vmstat) {
  const MadeMachine machine(v2_mount("/sys/fs/cgroup"));
  machine.put_v2("", "memory");
  if (!meminfo.empty()) machine.put("proc/meminfo", meminfo);
  if (!vmstat.empty()) machine.put("proc/vmstat", vmstat);
  return must(machine.host()).page_size();
}

const std::uint64_t own_page_size = static_cast<std::uint64_t>(::sysconf(_SC_PAGESIZE));

TEST(PageSize, Of64KiBIsDerivedFromCounters) {
  // Between the reads of the two files some memory was freed, and some shared memory was allocated.
  EXPECT_EQ(page_size_of("MemTotal:       16777216 kB\n"
                         "MemFree:         6400000 kB\n"
                         "Active(file):    1280000 kB\n"
                         "Inactive(file):  2560000 kB\n"
                         "Inactive(anon):    64000 kB\n"
                         "AnonPages:        640000 kB\n"
                         "Mapped:           128000 kB\n"
                         "Shmem:             12800 kB\n",
                         "nr_free_pages 120000\n"
                         "nr_inactive_anon 1000\n"
                         "nr_inactive_file 40000\n"
                         "nr_active_file 20000\n"
                         "nr_anon_pages 10000\n"
                         "nr_mapped 2000\n"
                         "nr_shmem 300\n"),
            65536U);
}

TEST(PageSize, Of16KiBIsDerivedFromOneCounterIfThereIsNoOther) {
  EXPECT_EQ(page_size_of("MemFree: 160000 kB\n", "nr_free_pages 10000\n"), 16384U);
}

TEST(PageSize, IsNotMisledByOneCounterThatIsFarOff) {
  // A balloon's memory counts in MemFree, but not in nr_free_pages.
  EXPECT_EQ(page_size_of("MemFree: 9000000 kB\nAnonPages: 40000 kB\nMapped: 4000 kB\n",
                         "nr_free_pages 10000\nnr_anon_pages 10000\nnr_mapped 1000\n"),
            4096U);
}

TEST(PageSize, IsThisMachinesIfTheCountersDoNotTell) {
  EXPECT_EQ(page_size_of("", ""), own_page_size);
  EXPECT_EQ(page_size_of("MemFree: 640000 kB\n", ""), own_page_size);
  EXPECT_EQ(page_size_of("", "nr_free_pages 10000\n"), own_page_size);
  EXPECT_EQ(page_size_of("MemFree: 640 kB\n", "nr_free_pages 10\n"), own_page_size) << "too few";
  EXPECT_EQ(page_size_of("MemFree: 0 kB\n", "nr_free_pages 10000\n"), own_page_size);
  EXPECT_EQ(page_size_of("MemFree: 10000 kB\n", "nr_free_pages 10000\n"), own_page_size)
      << "no machine has pages of 1 KiB";
  EXPECT_EQ(page_size_of("MemFree: x kB\n", "nr_free_pages many\n"), own_page_size);
}

TEST(Require, GivesTheHierarchy) {
  const Host host = test::captured("linux-5.4-v1-numa2/2-zombies");
  EXPECT_EQ(must(host.require("memory")), host.find("memory"));
}

TEST(Require, SaysThatAControllerIsDisabledAndHowToEnableIt) {
  const MadeMachine machine(v1_mount("/sys/fs/cgroup/cpu", "cpu"));
  machine.put_v1("cpu");
  machine.put("proc/cgroups", "cpu\t1\t1\t1\nmemory\t0\t1\t0\n");
  const auto memory = must(machine.host()).require("memory");
  ASSERT_TRUE(fails(memory, errc::unsupported));
  EXPECT_THAT(memory.error().reason, HasSubstr("disabled"));
  EXPECT_THAT(memory.error().hint, HasSubstr("cgroup_disable=memory"));
}

TEST(Require, NamesTheOptionOfTheCommandLineThatSwitchesAControllerOff) {
  const MadeMachine machine(v1_mount("/sys/fs/cgroup/cpu", "cpu"));
  machine.put_v1("cpu");
  machine.put("proc/cmdline", "quiet cgroup_disable=io,memory root=/dev/sda\n");
  // Some kernels keep the row of a disabled controller, others leave it out.
  for (const char* rows : {"cpu\t1\t1\t1\nmemory\t0\t1\t0\n", "cpu\t1\t1\t1\n"}) {
    machine.put("proc/cgroups", rows);
    const auto memory = must(machine.host()).require("memory");
    ASSERT_TRUE(fails(memory, errc::unsupported));
    EXPECT_THAT(memory.error().reason, HasSubstr("cgroup_disable= on the kernel's command line"));
    EXPECT_EQ(memory.error().hint, "boot without cgroup_disable=memory");
  }
  machine.put("proc/cmdline", "cgroup_disable=memory2 xcgroup_disable=memory\n");
  EXPECT_THAT(must(machine.host()).require("memory").error().reason, HasSubstr("does not have it"));
}

TEST(Require, SaysThatAControllerIsNotMounted) {
  const Host host = test::captured("linux-6.18-hybrid/2-zombies");
  const auto classes = host.require("net_cls");
  ASSERT_TRUE(fails(classes, errc::unsupported));
  EXPECT_THAT(classes.error().reason, HasSubstr("no mounted hierarchy"));
}

TEST(Require, SaysThatTheKernelDoesNotHaveAController) {
  const MadeMachine machine(v1_mount("/sys/fs/cgroup/cpu", "cpu"));
  machine.put_v1("cpu");
  machine.put("proc/cgroups", "cpu\t1\t1\t1\n");
  const auto memory = must(machine.host()).require("memory");
  ASSERT_TRUE(fails(memory, errc::unsupported));
  EXPECT_THAT(memory.error().reason, HasSubstr("does not have it"));
}

TEST(Subsystems, AreTheRowsOfProcCgroups) {
  const Host host = test::captured("linux-5.4-v1-numa2/2-zombies");
  ASSERT_THAT(host.subsystems(), SizeIs(8));
  const SubsystemRow& memory = host.subsystems()[4];
  EXPECT_EQ(memory.name, "memory");
  EXPECT_EQ(memory.hierarchy, 1U);
  EXPECT_EQ(memory.num_cgroups, 1504U);
  EXPECT_TRUE(memory.enabled);
}

TEST(Subsystems, AreNoneWithoutTheFile) {
  const MadeMachine machine(v2_mount("/sys/fs/cgroup"));
  machine.put_v2("", "memory");
  EXPECT_THAT(must(machine.host()).subsystems(), IsEmpty());
}

TEST(ParseProcCgroups, SkipsCommentsAndMalformedLines) {
  std::size_t malformed = 0;
  const auto rows = parse_proc_cgroups(
      "#subsys_name\thierarchy\tnum_cgroups\tenabled\n"
      "cpu\t0\t1\t1\n"
      "\n"
      "half\t1\t2\n"
      "letters\ta\tb\tc\n"
      "great\t1\t18446744073709551616\t1\n"
      "memory\t4\t18446744073709551615\t0",
      &malformed);
  ASSERT_THAT(rows, SizeIs(2));
  EXPECT_EQ(malformed, 3);
  EXPECT_EQ(rows[0].name, "cpu");
  EXPECT_EQ(rows[1].num_cgroups, 18446744073709551615U);
  EXPECT_FALSE(rows[1].enabled);
}

TEST(ParseProcCgroups, OfAnEmptyTextIsEmpty) { EXPECT_THAT(parse_proc_cgroups(""), IsEmpty()); }

TEST(ParseMountinfo, KeepsCgroupMountsInTheirOrder) {
  const auto rows =
      parse_mountinfo(test::captured_text("linux-6.18-hybrid/2-zombies/proc/self/mountinfo"));
  ASSERT_THAT(rows, SizeIs(10));
  EXPECT_EQ(rows[0].mount_point, "/sys/fs/cgroup/cpu");
  EXPECT_EQ(rows[0].version, Version::v1);
  EXPECT_EQ(rows[0].root, "/");
  EXPECT_THAT(rows[0].options, ElementsAre("rw", "cpu"));
  EXPECT_THAT(rows[8].options, ElementsAre("rw", "name=systemd"));
  EXPECT_EQ(rows[9].version, Version::v2);
}

TEST(ParseMountinfo, PassesOverAnyNumberOfOptionalFields) {
  for (const char* fields : {"- ", "shared:1 - ", "shared:1 master:2 propagate_from:3 new:4 - "}) {
    const auto rows = parse_mountinfo("35 31 0:32 / /m rw,relatime " + std::string(fields) +
                                      "cgroup cgroup rw,memory\n");
    ASSERT_THAT(rows, SizeIs(1)) << fields;
    EXPECT_THAT(rows[0].options, ElementsAre("rw", "memory"));
  }
}

TEST(ParseMountinfo, ReadsAMountWhoseSourceIsEmpty) {
  // mount("", "/m", "cgroup", 0, "memory") leaves an empty field: two spaces in a row.
  const auto rows = parse_mountinfo("35 31 0:32 / /m rw,relatime - cgroup  rw,memory\n");
  ASSERT_THAT(rows, SizeIs(1));
  EXPECT_THAT(rows[0].options, ElementsAre("rw", "memory"));
}

TEST(ParseMountinfo, DecodesEscapesOnceAndLeavesBrokenOnes) {
  const auto rows = parse_mountinfo(
      "35 31 0:32 /a\\134040b /c\\04\\9\\0401 rw - cgroup cgroup rw,name=x\\054y\n");
  ASSERT_THAT(rows, SizeIs(1));
  EXPECT_EQ(rows[0].root, "/a\\040b");
  EXPECT_EQ(rows[0].mount_point, "/c\\04\\9 1");
}

TEST(ParseMountinfo, LeavesOutOtherFileSystemsAndLinesCutShort) {
  EXPECT_THAT(parse_mountinfo("1 1 0:2 / / rw - rootfs rootfs rw\n"
                              "2 1 0:3 / /cgroup rw - tmpfs cgroup rw,memory\n"
                              "3 1 0:4 / /x rw cgroup cgroup rw,memory\n"
                              "4 1 0:4 / /y rw - cgroup3 cgroup rw\n"
                              "\n"
                              "5 1\n"
                              "6 1 0:4 / /z rw -"),
              IsEmpty());
}

TEST(ParseMembership, SplitsAtTheFirstTwoColonsOnly) {
  const auto rows =
      parse_membership("12:cpu,cpuacct:/system.slice/a:b:c\n1:name=systemd:/\n0::/../../outside\n");
  ASSERT_THAT(rows, SizeIs(3));
  EXPECT_THAT(rows[0].controllers, ElementsAre("cpu", "cpuacct"));
  EXPECT_EQ(rows[0].path, "/system.slice/a:b:c");
  EXPECT_THAT(rows[1].controllers, ElementsAre("name=systemd"));
  EXPECT_THAT(rows[2].controllers, IsEmpty());
  EXPECT_EQ(rows[2].path, "/../../outside");
}

TEST(ParseMembership, SkipsLinesWithoutTwoColons) {
  EXPECT_THAT(parse_membership("\n12\n12:cpu\n"), IsEmpty());
}

TEST(Names, OfVersionsAndModesAreThoseOfTheCommandLine) {
  EXPECT_EQ(to_string(Version::v1), "v1");
  EXPECT_EQ(to_string(Version::v2), "v2");
  EXPECT_EQ(to_string(Mode::v1), "v1");
  EXPECT_EQ(to_string(Mode::v2), "v2");
  EXPECT_EQ(to_string(Mode::hybrid), "hybrid");
}

}  // namespace host_test
