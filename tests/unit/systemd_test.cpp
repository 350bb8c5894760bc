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

TEST(SystemdOnV1, LeavesCgroupsBesideItsUnitsAlone) {
  const MadeMachine machine(v1_mount("/sys/fs/cgroup/memory", "memory") +
                            v1_mount("/sys/fs/cgroup/systemd", "name=systemd"));
  machine.put("proc/cgroups", "#subsys_name\thierarchy\tnum_cgroups\tenabled\nmemory\t3\t2\t1\n");
  for (const char* const path : {"memory", "memory/system.slice", "memory/user.slice", "systemd"}) {
    machine.put_v1(path);
  }
  machine.put_v1("memory/user.slice/job");
  machine.put_v1("memory/batch");
  const auto host = machine.host();
  ASSERT_TRUE(ok(host));
  EXPECT_EQ(must(systemd::fate_of(*host, "/batch")).treatment, Treatment::leaves_alone);
  EXPECT_EQ(must(systemd::fate_of(*host, "/user.slice")).treatment, Treatment::resets_limits);
  EXPECT_EQ(must(systemd::fate_of(*host, "/user.slice/job")).treatment, Treatment::removes);
  EXPECT_EQ(must(systemd::endangered(*host)), std::vector<std::string>{"/user.slice/job"});
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

}  // namespace systemd_test
