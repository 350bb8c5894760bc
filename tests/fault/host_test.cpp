// SPDX-FileCopyrightText: The cgctl authors
// SPDX-License-Identifier: MIT
#include "cgctl/host.hpp"

#include <gtest/gtest.h>

#include <cerrno>
#include <ostream>

#include "../support/captured.hpp"
#include "cgctl/group.hpp"
#include "cgctl/sampler.hpp"
#include "faulty_sys.hpp"

namespace host_test {

using namespace cgctl;
using fault::Call;
using fault::Faults;

class HostFaults : public ::testing::Test {
 protected:
  [[nodiscard]] int errno_of_detection() const {
    const auto host = machine_.host();
    return host ? 0 : host.error().os_errno;
  }

  test::CapturedMachine machine_{"linux-6.1-hybrid-numa2/2-zombies"};
};

/// A call on a mount point that fails, and its errno.
struct Fault {
  Call call;
  const char* file;
  int os_errno;

  friend std::ostream& operator<<(std::ostream& out, const Fault& fault) {
    return out << fault.file << " " << fault.os_errno;
  }
};

class MountFaults : public HostFaults, public ::testing::WithParamInterface<Fault> {};

TEST_P(MountFaults, AreUnreachableHierarchiesAndNotUnmountedOnes) {
  const Fault& fault = GetParam();
  Faults faults;
  faults.on(fault.call, fault.file).fails(fault.os_errno);
  const auto host = machine_.host();
  ASSERT_TRUE(host) << host.error().message();
  ASSERT_EQ(host->unreachable().size(), 1U);
  EXPECT_EQ(host->unreachable().front().error.os_errno, fault.os_errno);
  EXPECT_EQ(host->mode(), Mode::hybrid);
  const auto cpu = host->require("cpu");
  ASSERT_FALSE(cpu);
  EXPECT_EQ(cpu.error().os_errno, fault.os_errno);
  EXPECT_FALSE(Sampler::open(*host, "/"));
  const auto root = host->open("/");
  ASSERT_TRUE(root);
  EXPECT_FALSE(root->require_all());
  EXPECT_FALSE(Group::create(*host, "/new"));
}

INSTANTIATE_TEST_SUITE_P(Hosts, MountFaults,
                         ::testing::Values(Fault{Call::open_at, "cgroup/cpu,cpuacct", EACCES},
                                           Fault{Call::open_at, "cgroup/cpu,cpuacct", EMFILE},
                                           Fault{Call::file_system, "cgroup/cpu,cpuacct", EIO},
                                           Fault{Call::stat, "cgroup/cpu,cpuacct", ENOMEM},
                                           Fault{Call::stat_at,
                                                 "cgroup/cpu,cpuacct/cgroup.sane_behavior", EIO}));

TEST_F(HostFaults, AMissingMountPointIsNotMounted) {
  for (const int reason : {ENOENT, ENODEV}) {
    Faults faults;
    faults.on(Call::open_at, "cgroup/cpu,cpuacct").fails(reason);
    const auto host = machine_.host();
    ASSERT_TRUE(host) << host.error().message();
    EXPECT_TRUE(host->unreachable().empty());
    EXPECT_EQ(host->find("cpu"), nullptr);
  }
}

TEST_F(HostFaults, ControllersOfV2ThatCannotBeReadAreNotNone) {
  Faults faults;
  faults.on(Call::open_beneath, "cgroup.controllers").fails(EMFILE);
  const auto host = machine_.host();
  ASSERT_TRUE(host) << host.error().message();
  ASSERT_EQ(host->unreachable().size(), 1U);
  EXPECT_EQ(host->unreachable().front().hierarchy.version, Version::v2);
  EXPECT_EQ(host->mode(), Mode::hybrid);
  const auto root = host->open("/");
  ASSERT_TRUE(root);
  EXPECT_FALSE(root->read("cgroup.procs"));
}

TEST_F(HostFaults, ProcCgroupsThatCannotBeReadIsNotMissing) {
  Faults faults;
  faults.on(Call::open_beneath, "cgroups").fails(EMFILE);
  EXPECT_EQ(errno_of_detection(), EMFILE);
}

TEST_F(HostFaults, AFigureOfThePageSizeThatCannotBeReadIsNotGuessed) {
  Faults faults;
  faults.on(Call::open_beneath, "meminfo").fails(EIO);
  EXPECT_EQ(errno_of_detection(), EIO);
}

TEST_F(HostFaults, IfNoHierarchyOpensTheReasonIsReported) {
  const test::CapturedMachine v2("linux-6.1-v2-numa2/1-fresh");
  Faults faults;
  faults.on(Call::open_at, "fs/cgroup").fails(EMFILE);
  const auto host = v2.host();
  ASSERT_FALSE(host);
  EXPECT_EQ(host.error().os_errno, EMFILE);
}

}  // namespace host_test
