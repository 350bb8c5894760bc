// SPDX-FileCopyrightText: The cgctl authors
// SPDX-License-Identifier: MIT
#include "cgctl/systemd.hpp"

#include <gtest/gtest.h>
#include <sys/xattr.h>

#include <cerrno>
#include <string>

#include "../support/made.hpp"
#include "../support/result.hpp"

namespace systemd_test {

using namespace cgctl;
using namespace cgctl::test;
using systemd::Treatment;

constexpr const char* scope = "system.slice/batch.scope";

/// A machine with systemd's cgroups on v2.
class UnifiedMachine : public ::testing::Test {
 public:
  UnifiedMachine() : machine_(v2_mount("/sys/fs/cgroup")) {
    machine_.put("proc/cgroups", "#subsys_name\thierarchy\tnum_cgroups\tenabled\n");
    machine_.put_v2("", "cpu memory pids");
    for (const char* const path : {"system.slice", scope, "user.slice", "user.slice/user-7.slice",
                                   "user.slice/user-7.slice/user@7.service", "init.scope"}) {
      add(path, "cpu memory pids");
    }
  }

  void add(const std::string& path, const std::string& passed_on) const {
    machine_.put_v2(path, "cpu memory pids");
    machine_.put("sys/fs/cgroup/" + path + "/cgroup.subtree_control", passed_on + "\n");
  }
  void delegate(const std::string& path) const {
    const std::string directory = machine_.cgroup(path).string();
    ASSERT_EQ(::setxattr(directory.c_str(), "user.delegate", "1", 1, 0), 0) << errno;
  }
  [[nodiscard]] systemd::Fate fate(const std::string& path) const {
    return must(systemd::fate_of(must(machine_.host()), path));
  }
  [[nodiscard]] const MadeMachine& machine() const { return machine_; }

 private:
  MadeMachine machine_;
};

using SystemdOnV2 = UnifiedMachine;

TEST_F(SystemdOnV2, ResetsTheLimitsOfItsUnits) {
  for (const char* const path : {"/", "/system.slice", "/system.slice/batch.scope"}) {
    EXPECT_EQ(fate(path).treatment, Treatment::resets_limits) << path;
    EXPECT_EQ(fate(path).unit, path);
  }
}

TEST_F(SystemdOnV2, MaySwitchOffControllersBesideItsUnits) {
  EXPECT_EQ(fate("/batch").treatment, Treatment::may_switch_off);
  EXPECT_EQ(fate("/batch").unit, "/");
  EXPECT_EQ(fate("system.slice/batch/").treatment, Treatment::may_switch_off);
  EXPECT_EQ(fate("system.slice/batch/").unit, "/system.slice");
}

TEST_F(SystemdOnV2, CannotSwitchOffWhatACgroupPassesOn) {
  add("batch", "cpu memory pids");
  EXPECT_EQ(fate("/batch").treatment, Treatment::leaves_alone);
  EXPECT_EQ(fate("/batch/job").treatment, Treatment::leaves_alone);
  add("batch", "cpu memory");
  EXPECT_EQ(fate("/batch").treatment, Treatment::may_switch_off);
}

TEST_F(SystemdOnV2, RemovesCgroupsBelowAUnitThatMayStop) {
  EXPECT_EQ(fate("/system.slice/batch.scope/job").treatment, Treatment::removes);
  EXPECT_EQ(fate("/system.slice/batch.scope/job").unit, "/system.slice/batch.scope");
  EXPECT_EQ(fate("/user.slice/user-7.slice/job/one").treatment, Treatment::removes);
  EXPECT_EQ(fate("/user.slice/user-7.slice/job/one").unit, "/user.slice/user-7.slice");
}

TEST_F(SystemdOnV2, LeavesAloneWhatIsDelegated) {
  delegate(scope);
  EXPECT_EQ(fate("/system.slice/batch.scope").treatment, Treatment::resets_limits);
  EXPECT_EQ(fate("/system.slice/batch.scope/job").treatment, Treatment::leaves_alone);
  EXPECT_EQ(fate("/system.slice/batch.scope/a.slice/b").treatment, Treatment::leaves_alone);
  EXPECT_EQ(fate("/system.slice/batch.scopes/job").treatment, Treatment::leaves_alone);
}

TEST_F(SystemdOnV2, IsAlsoTheManagerOfAUser) {
  const std::string manager = "user.slice/user-7.slice/user@7.service";
  add(manager + "/app.slice", "cpu");
  add(manager + "/app.slice/batch.scope", "cpu");
  delegate(manager);
  EXPECT_EQ(fate("/" + manager + "/app.slice/job").treatment, Treatment::removes);
  delegate(manager + "/app.slice/batch.scope");
  EXPECT_EQ(fate("/" + manager + "/app.slice/batch.scope/job").treatment, Treatment::leaves_alone);
}

TEST_F(SystemdOnV2, DoesNotOwnUnitsNamesBelowOtherCgroups) {
  add("batch", "cpu memory pids");
  EXPECT_EQ(fate("/batch/system.slice").treatment, Treatment::leaves_alone);
  EXPECT_EQ(fate("/batch/system.slice").unit, "/");
}

TEST_F(SystemdOnV2, EndangersTheCgroupsBesideItsUnits) {
  EXPECT_TRUE(must(systemd::endangered(must(machine().host()))).empty());
  add("batch", "");
  add("kubepods", "cpu memory pids");
  add("kubepods/pod", "");
  add("system.slice/job", "cpu");
  add("user.slice/user-7.slice/job", "");
  add("system.slice/batch.scope/own", "");
  EXPECT_EQ(
      must(systemd::endangered(must(machine().host()))),
      (std::vector<std::string>{"/batch", "/system.slice/job", "/user.slice/user-7.slice/job"}));
}

TEST_F(SystemdOnV2, HasNoFateForAPathThatLeavesTheHierarchy) {
  EXPECT_TRUE(fails(systemd::fate_of(must(machine().host()), "/a/../.."), errc::outside));
}

TEST(SystemdOnV1, MayRemoveCgroupsWithoutTasksBesideItsUnits) {
  const MadeMachine machine(v1_mount("/sys/fs/cgroup/memory", "memory") +
                            v1_mount("/sys/fs/cgroup/systemd", "name=systemd"));
  machine.put("proc/cgroups", "#subsys_name\thierarchy\tnum_cgroups\tenabled\nmemory\t3\t2\t1\n");
  for (const char* const path : {"memory", "memory/system.slice", "memory/user.slice", "systemd"}) {
    machine.put_v1(path);
  }
  machine.put_v1("memory/user.slice/job");
  machine.put_v1("memory/batch");
  machine.put_v1("memory/docker/box");
  machine.put("sys/fs/cgroup/memory/docker/box/cgroup.procs", "17\n");
  machine.put("sys/fs/cgroup/memory/docker/cgroup.procs", "");
  for (const char* const path : {"batch", "user.slice/job"}) {
    machine.put(std::string("sys/fs/cgroup/memory/") + path + "/cgroup.procs", "");
  }
  const auto host = machine.host();
  ASSERT_TRUE(ok(host));
  EXPECT_EQ(must(systemd::fate_of(*host, "/batch")).treatment, Treatment::may_remove);
  EXPECT_EQ(must(systemd::fate_of(*host, "/docker/box")).treatment, Treatment::may_remove);
  EXPECT_EQ(must(systemd::fate_of(*host, "/user.slice")).treatment, Treatment::resets_limits);
  EXPECT_EQ(must(systemd::fate_of(*host, "/user.slice/job")).treatment, Treatment::removes);
  EXPECT_EQ(must(systemd::endangered(*host)),
            (std::vector<std::string>{"/batch", "/user.slice/job"}));
}

TEST(SystemdElsewhere, HasNoCgroups) {
  const MadeMachine machine(v1_mount("/sys/fs/cgroup/memory", "memory"));
  machine.put("proc/cgroups", "#subsys_name\thierarchy\tnum_cgroups\tenabled\nmemory\t3\t2\t1\n");
  machine.put_v1("memory");
  const auto host = machine.host();
  ASSERT_TRUE(ok(host));
  EXPECT_EQ(must(systemd::fate_of(*host, "/")).treatment, Treatment::leaves_alone);
}

TEST(SystemdElsewhere, IsBootedIfItsDirectoryIsThere) {
  const TempDirectory root;
  EXPECT_FALSE(systemd::is_booted(root.path().string()));
  put_file(root / "run/systemd/system", "");
  EXPECT_FALSE(systemd::is_booted(root.path().string()));
  std::filesystem::remove(root / "run/systemd/system");
  std::filesystem::create_directory(root / "run/systemd/system");
  EXPECT_TRUE(systemd::is_booted(root.path().string()));
}

/// Returns the assignments of all properties, in their order.
std::vector<std::string> assignments(const systemd::Translation& translation) {
  std::vector<std::string> all;
  for (const systemd::Property& one : translation.properties) {
    all.insert(all.end(), one.assignments.begin(), one.assignments.end());
  }
  return all;
}

Host unified_host() {
  return must(Host::detect(roots_of(captures() / "linux-6.1-v2-numa2/1-fresh")));
}

Host v1_host() { return must(Host::detect(roots_of(captures() / "linux-6.1-v1-numa2/1-fresh"))); }

TEST(SystemdProperties, SayTheLimits) {
  systemd::Limits limits;
  limits.cpu.cpus = 0.5;
  limits.cpu.weight = cpu::Weight{50};
  limits.memory.max = memory::Limit{512U << 20U};
  limits.memory.high = memory::Limit{};
  limits.memory.low = memory::Limit{1U << 20U};
  limits.memory.min = memory::Limit{4096};
  limits.memory.swap_max = memory::Limit{0};
  limits.pids_max = pids::Max{100};
  limits.cpuset.cpus = cpuset::Ids{0, 1, 2, 3, 9};
  limits.cpuset.nodes = cpuset::Ids{};
  const auto translation = must(systemd::translate(unified_host(), limits));
  EXPECT_EQ(assignments(translation),
            (std::vector<std::string>{"CPUQuota=50%", "CPUWeight=50", "MemoryMax=536870912",
                                      "MemoryHigh=infinity", "MemoryLow=1048576", "MemoryMin=4096",
                                      "MemorySwapMax=0", "TasksMax=100", "AllowedCPUs=0-3,9",
                                      "AllowedMemoryNodes="}));
  EXPECT_EQ(translation.left_names, "");
  EXPECT_TRUE(translation.left.cpu.empty());
  EXPECT_TRUE(translation.left.memory.empty());
  const auto value = [&](std::size_t i) { return translation.properties.at(i).value; };
  EXPECT_EQ(translation.properties[0].name, "CPUQuotaPerSecUSec");
  EXPECT_EQ(std::get<std::uint64_t>(value(0)), 500'000U);
  EXPECT_EQ(std::get<std::uint64_t>(value(3)), UINT64_MAX);
  EXPECT_EQ(std::get<std::vector<std::uint8_t>>(value(8)), (std::vector<std::uint8_t>{0x0f, 0x02}));
  EXPECT_TRUE(std::get<std::vector<std::uint8_t>>(value(9)).empty());
}

TEST(SystemdProperties, HaveTheQuotaPerSecond) {
  const auto quota = [](cpu::Change change) {
    return assignments(must(systemd::translate(unified_host(), {change, {}, {}, {}, {}})));
  };
  cpu::Change change;
  change.quota = cpu::Quota{cpu::microseconds(12'500)};
  EXPECT_EQ(quota(change), std::vector<std::string>{"CPUQuota=12.5%"});
  change.period = cpu::microseconds(20'000);
  EXPECT_EQ(quota(change),
            (std::vector<std::string>{"CPUQuota=62.5%", "CPUQuotaPeriodSec=20000us"}));
  change = {};
  change.quota = cpu::Quota{};
  EXPECT_EQ(quota(change), std::vector<std::string>{"CPUQuota="});
  change = {};
  change.cpus = 12.3456;
  EXPECT_EQ(quota(change), std::vector<std::string>{"CPUQuota=1234.56%"});
  change.cpus = 1.0005;
  EXPECT_EQ(quota(change), std::vector<std::string>{"CPUQuota=100.05%"});
}

TEST(SystemdProperties, HaveAWeightForShares) {
  const auto weight = [](cpu::Change change) {
    return assignments(must(systemd::translate(v1_host(), {change, {}, {}, {}, {}})));
  };
  cpu::Change change;
  change.shares = cpu::Shares{512};
  EXPECT_EQ(weight(change), std::vector<std::string>{"CPUWeight=50"});
  change.conversion = cpu::Conversion::oci2020;
  EXPECT_EQ(weight(change), std::vector<std::string>{"CPUWeight=20"});
  change = {};
  change.idle = true;
  EXPECT_EQ(weight(change), std::vector<std::string>{"CPUWeight=idle"});
}

TEST_F(SystemdOnV2, LimitsDevicesByTheirFiles) {
  machine().put("sys/dev/block/254:0/uevent", "MAJOR=254\nDEVNAME=vda\n");
  machine().put("sys/dev/block/8:1/uevent", "DEVNAME=cciss!c0d0\n");
  systemd::Limits limits;
  limits.io = {{{254, 0}, io::Rate{1U << 20U}, io::Rate{}, {}, io::Rate{50}},
               {{9999, 7}, io::Rate{5}, {}, {}, {}},
               {{8, 1}, {}, {}, io::Rate{3}, {}}};
  EXPECT_EQ(assignments(must(systemd::translate(must(machine().host()), limits))),
            (std::vector<std::string>{
                "IOReadBandwidthMax=/dev/vda 1048576", "IOReadBandwidthMax=/dev/block/9999:7 5",
                "IOWriteBandwidthMax=/dev/vda infinity", "IOReadIOPSMax=/dev/cciss/c0d0 3",
                "IOWriteIOPSMax=/dev/vda 50"}));
}

TEST(SystemdProperties, LeaveOtherLimitsToACgroupBelow) {
  systemd::Limits limits;
  limits.cpu.cpus = 0.5;
  limits.cpu.burst = cpu::microseconds(1000);
  limits.memory.max = memory::Limit{1U << 30U};
  limits.memory.memsw_max = memory::Limit{2U << 30U};
  limits.memory.oom_group = true;
  const auto translation = must(systemd::translate(unified_host(), limits));
  EXPECT_EQ(assignments(translation),
            (std::vector<std::string>{"CPUQuota=50%", "MemoryMax=1073741824"}));
  EXPECT_EQ(translation.left_names, "burst, memsw_max, oom_group");
  EXPECT_EQ(translation.left.cpu.cpus, 0.5);
  EXPECT_EQ(translation.left.cpu.burst, cpu::microseconds(1000));
  EXPECT_EQ(translation.left.memory.max, memory::Limit{1U << 30U});
  EXPECT_EQ(translation.left.memory.memsw_max, memory::Limit{2U << 30U});
  EXPECT_EQ(translation.left.memory.oom_group, true);
}

TEST(SystemdProperties, AreFewerOnV1) {
  systemd::Limits limits;
  limits.memory.max = memory::Limit{1U << 20U};
  limits.memory.swap_max = memory::Limit{0};
  limits.memory.soft_limit = memory::Limit{4096};
  const auto translation = must(systemd::translate(v1_host(), limits));
  EXPECT_EQ(assignments(translation), std::vector<std::string>{"MemoryMax=1048576"});
  EXPECT_EQ(translation.left_names, "swap_max, soft_limit");
  EXPECT_EQ(translation.left.memory.max, limits.memory.max);
  limits = {};
  limits.cpuset.cpus = cpuset::Ids{0};
  EXPECT_TRUE(fails(systemd::translate(v1_host(), limits), errc::unsupported));
}

TEST(SystemdProperties, HaveNoNiceValue) {
  systemd::Limits limits;
  limits.cpu.nice = 5;
  EXPECT_TRUE(fails(systemd::translate(unified_host(), limits), errc::unsupported));
}

}  // namespace systemd_test
