// SPDX-FileCopyrightText: The cgctl authors
// SPDX-License-Identifier: MIT
#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <sched.h>
#include <sys/wait.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <cstdint>
#include <string>
#include <vector>

#include "../support/child.hpp"
#include "../support/result.hpp"
#include "../support/skip.hpp"
#include "cgctl/cpuset.hpp"
#include "cgctl/group.hpp"
#include "cgctl/io.hpp"
#include "cgctl/pids.hpp"
#include "real_cgroups.hpp"

namespace limits_test {

using namespace cgctl;
using test::must;
using ::testing::ElementsAre;
using ::testing::HasSubstr;

class RealLimits : public test::RealCgroups {
 protected:
  RealLimits() : RealCgroups(Needs::cpu_at_least) {}

  /// Makes a cgroup with this controller.
  [[nodiscard]] Group made_with(const std::string& controller) const {
    return must(Group::create(host(), path("a"), Creation{{controller}, {}}));
  }
  /// Makes a cgroup with a cpuset, below one that has all CPUs and memory nodes.
  [[nodiscard]] Group made_with_cpuset() const {
    Group group = made_with("cpuset");
    must(cpuset::set(must(host().open(path())), cpuset::Change{cpuset::Ids{}, cpuset::Ids{}}));
    return group;
  }
};

/// Forks until that fails, at most `most` times; ends the children. Returns their number.
int forks(int most) {
  std::vector<pid_t> children;
  while (static_cast<int>(children.size()) < most) {
    const pid_t child = ::fork();
    if (child < 0) break;
    if (child == 0) {
      ::pause();
      ::_exit(0);
    }
    children.push_back(child);
  }
  for (const pid_t child : children) {
    ::kill(child, SIGKILL);
    ::waitpid(child, nullptr, 0);
  }
  return static_cast<int>(children.size());
}

TEST_F(RealLimits, NoMoreTasksThanPidsMax) {
  if (host().find("pids") == nullptr) return test::skip("needs the pids controller");
  const Group group = made_with("pids");
  EXPECT_FALSE(must(pids::state(group)).max->tasks);
  must(pids::set(group, pids::Max{4}));
  const std::string complaint = test::in_child([&]() -> std::string {
    if (const auto status = group.attach(0); !status) return status.error().message();
    const int children = forks(10);
    return children == 3 ? "" : std::to_string(children) + " children instead of 3";
  });
  EXPECT_EQ(complaint, "");
  const pids::State state = must(pids::state(group));
  EXPECT_EQ(state.max->tasks, 4U);
  EXPECT_EQ(state.tasks, 0U);
  if (state.limit_hits) {
    EXPECT_EQ(*state.limit_hits, 1U);
  }
  must(pids::set(group, pids::Max{}));
  EXPECT_FALSE(must(pids::state(group)).max->tasks);
}

TEST_F(RealLimits, PidsMaxHasARange) {
  if (host().find("pids") == nullptr) return test::skip("needs the pids controller");
  const Group group = made_with("pids");
  const auto above = pids::set(group, pids::Max{pids::greatest_max + 1});
  ASSERT_FALSE(above);
  EXPECT_EQ(above.error().kind, errc::invalid_argument);
  EXPECT_THAT(above.error().message(), HasSubstr("0 to 4194304"));
  must(pids::set(group, pids::Max{pids::greatest_max}));
  const auto refused = settings::apply(group, {{"pids.max", "many"}});
  ASSERT_FALSE(refused);
  EXPECT_THAT(refused.error().message(), HasSubstr("'many' is not a number of tasks"));
  EXPECT_EQ(must(pids::state(group)).max->tasks, pids::greatest_max);
}

TEST_F(RealLimits, ANewCpusetGetsTheListsOfItsParent) {
  if (host().find("cpuset") == nullptr) return test::skip("needs the cpuset controller");
  const Group group = made_with_cpuset();
  must(cpuset::set(group, cpuset::Change{cpuset::Ids{0}, {}}));
  const cpuset::State state = must(cpuset::state(group));
  ASSERT_TRUE(state.cpus && state.effective_cpus && state.effective_nodes);
  EXPECT_THAT(*state.cpus, ElementsAre(0U));
  EXPECT_THAT(*state.effective_cpus, ElementsAre(0U));
  EXPECT_FALSE(state.effective_nodes->empty());
  const std::string complaint = test::in_child([&]() -> std::string {
    if (const auto status = group.attach(0); !status) return status.error().message();
    cpu_set_t allowed;
    if (::sched_getaffinity(0, sizeof allowed, &allowed) != 0) return "no affinity";
    return CPU_COUNT(&allowed) == 1 && CPU_ISSET(0, &allowed) ? "" : "other CPUs are allowed";
  });
  EXPECT_EQ(complaint, "");
  must(cpuset::set(group, cpuset::Change{cpuset::Ids{}, {}}));
  const Group root = must(host().open("/"));
  EXPECT_EQ(must(cpuset::state(group)).effective_cpus, must(cpuset::state(root)).effective_cpus);
}

TEST_F(RealLimits, ACpuThatTheMachineLacksIsExplained) {
  if (host().find("cpuset") == nullptr) return test::skip("needs the cpuset controller");
  const Group group = made_with_cpuset();
  const cpuset::State before = must(cpuset::state(group));
  const auto refused = cpuset::set(group, cpuset::Change{cpuset::Ids{60000}, {}});
  ASSERT_FALSE(refused);
  EXPECT_THAT(refused.error().message(), HasSubstr("'60000' is not a list of CPUs or nodes"));
  EXPECT_EQ(must(cpuset::state(group)).cpus, before.cpus);
  EXPECT_EQ(must(cpuset::state(group)).nodes, before.nodes) << "the list of the parent is undone";
}

class RealIo : public RealLimits {
 protected:
  void SetUp() override {
    RealLimits::SetUp();
    if (IsSkipped()) return;
    const auto disks = test::block_devices();
    if (disks.empty()) return test::skip("needs a block device");
    if (host().find("blkio") == nullptr && host().find("io") == nullptr) {
      return test::skip("needs the io controller");
    }
    device_ = must(io::find_device(host(), disks[0]));
  }
  [[nodiscard]] Group made() const {
    return made_with(host().find("blkio") != nullptr ? "blkio" : "io");
  }
  [[nodiscard]] io::Limits limits() const { return io::Limits{device_, {}, {}, {}, {}}; }

  io::Device device_;
};

TEST_F(RealIo, LimitsOfADeviceAreSetAndRemoved) {
  if (IsSkipped()) return;
  const Group group = made();
  EXPECT_TRUE(must(io::state(group)).limits.empty());
  io::Limits change = limits();
  change.read_bytes = io::Rate{1000000};
  change.writes = io::Rate{50};
  must(io::set(group, {change}));
  auto state = must(io::state(group));
  ASSERT_EQ(state.limits.size(), 1U);
  EXPECT_EQ(state.limits[0].device, device_);
  EXPECT_EQ(state.limits[0].read_bytes->per_second, 1000000U);
  EXPECT_EQ(state.limits[0].writes->per_second, 50U);
  EXPECT_FALSE(state.limits[0].reads && state.limits[0].reads->per_second);
  change.read_bytes = io::Rate{};
  change.writes = io::Rate{};
  must(io::set(group, {change}));
  EXPECT_TRUE(must(io::state(group)).limits.empty());
}

TEST_F(RealIo, AllLimitsOrNone) {
  if (IsSkipped()) return;
  const Group group = made();
  io::Limits good = limits();
  good.read_bytes = io::Rate{1000000};
  io::Limits none = good;
  none.device = {4000, 1};
  const auto refused = io::set(group, {good, none});
  ASSERT_FALSE(refused);
  EXPECT_EQ(refused.error().os_errno, ENODEV);
  EXPECT_THAT(refused.error().message(), HasSubstr("names a device or resource"));
  EXPECT_TRUE(must(io::state(group)).limits.empty());
}

TEST_F(RealIo, AChangeNamesARateAboveZero) {
  if (IsSkipped()) return;
  const Group group = made();
  const auto nothing = io::set(group, {limits()});
  ASSERT_FALSE(nothing);
  EXPECT_EQ(nothing.error().kind, errc::invalid_argument);
  io::Limits zero = limits();
  zero.reads = io::Rate{0};
  const auto refused = io::set(group, {zero});
  ASSERT_FALSE(refused);
  EXPECT_THAT(refused.error().message(), HasSubstr("riops of"));
}

TEST_F(RealIo, ADeviceIsFoundByItsFile) {
  if (IsSkipped()) return;
  const std::string name = io::device_name(host(), device_);
  ASSERT_NE(name, "");
  if (::access(("/dev/" + name).c_str(), F_OK) != 0) return test::skip("/dev has no disk");
  EXPECT_EQ(must(io::find_device(host(), "/dev/" + name)), device_);
}

TEST(IoDevice, OthersAreRefused) {
  const auto host = Host::detect();
  ASSERT_TRUE(test::ok(host));
  for (const char* const name : {"vda", "", "8", "8:", "8:x", "8:4294967296"}) {
    const auto found = io::find_device(*host, name);
    ASSERT_FALSE(found) << name;
    EXPECT_EQ(found.error().kind, errc::invalid_argument) << name;
  }
  const auto proc = io::find_device(*host, "/proc");
  ASSERT_FALSE(proc);
  EXPECT_THAT(proc.error().message(), HasSubstr("on no block device"));
  EXPECT_EQ(io::find_device(*host, "/none-such").error().os_errno, ENOENT);
}

}  // namespace limits_test
