// SPDX-FileCopyrightText: The cgctl authors
// SPDX-License-Identifier: MIT
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <cerrno>
#include <chrono>
#include <filesystem>
#include <ostream>

#include "../support/made.hpp"
#include "cgctl/filesystem.hpp"
#include "cgctl/group.hpp"
#include "cgctl/settings.hpp"
#include "faulty_sys.hpp"

namespace lifecycle_test {

using namespace cgctl;
using namespace std::chrono_literals;
using fault::Call;
using fault::Faults;
using ::testing::HasSubstr;

/// A v2 host of plain files that pretend to be on a cgroup file system.
class LifecycleFaults : public ::testing::Test {
 protected:
  LifecycleFaults() {
    machine_.put_v2("", "cpu memory");
    test::put_file(machine_.cgroup("cgroup.subtree_control"), "\n");
    faults_.on(Call::file_system).returns(fs::cgroup_v2_magic).always();
  }

  [[nodiscard]] Host host() const {
    auto host = machine_.host();
    EXPECT_TRUE(host) << host.error().message();
    return *host;
  }
  [[nodiscard]] Result<Group> create() const {
    return Group::create(host(), "/a", {{"cpu", "memory"}, Owner{1, 1}});
  }
  /// Creates a live cgroup with its files.
  [[nodiscard]] Group group() const {
    test::put_file(machine_.cgroup("a/cgroup.procs"), "");
    test::put_file(machine_.cgroup("a/cpu.weight"), "100\n");
    test::put_file(machine_.cgroup("a/memory.high"), "max\n");
    test::put_file(machine_.cgroup("a/memory.max"), "max\n");
    auto group = host().open("/a");
    EXPECT_TRUE(group) << group.error().message();
    return std::move(*group);
  }
  [[nodiscard]] bool exists() const { return std::filesystem::exists(machine_.cgroup("a")); }

  test::MadeMachine machine_{test::v2_mount("/sys/fs/cgroup")};
  Faults faults_;
};

/// The kernel would turn the parent into a threaded cgroup:
/// https://docs.kernel.org/admin-guide/cgroup-v2.html, "Threads".
TEST_F(LifecycleFaults, NothingIsWrittenBelowACgroupWithProcessesOfItsOwn) {
  test::put_file(machine_.cgroup("a/cgroup.type"), "domain\n");
  test::put_file(machine_.cgroup("a/cgroup.procs"), "12\n");
  test::put_file(machine_.cgroup("a/cgroup.subtree_control"), "\n");
  for (const char* const controller : {"cpu", "memory"}) {
    const auto refused = Group::create(host(), "/a/b/c", {{controller}, {}});
    ASSERT_FALSE(refused);
    EXPECT_EQ(refused.error().os_errno, EBUSY);
    EXPECT_THAT(refused.error().message(), HasSubstr("processes of its own"));
    EXPECT_THAT(refused.error().path, ::testing::EndsWith("/a"));
  }
  EXPECT_EQ(faults_.calls(Call::write), 0U);
  EXPECT_EQ(faults_.calls(Call::make_directory_at), 0U);
}

TEST_F(LifecycleFaults, AThreadedParentOrOneWithTheControllerEnabledIsAccepted) {
  test::put_file(machine_.cgroup("a/cgroup.procs"), "12\n");
  test::put_file(machine_.cgroup("a/cgroup.type"), "domain threaded\n");
  test::put_file(machine_.cgroup("a/cgroup.subtree_control"), "\n");
  EXPECT_TRUE(Group::create(host(), "/a/b", {{"cpu"}, {}}));
  test::put_file(machine_.cgroup("a/cgroup.type"), "domain\n");
  test::put_file(machine_.cgroup("a/cgroup.subtree_control"), "cpu\n");
  EXPECT_TRUE(Group::create(host(), "/a/c", {{"cpu"}, {}}));
}

struct Refusal {
  int os_errno;
  unsigned controller;  ///< index of the controller that is refused
  const char* says;
};
void PrintTo(const Refusal& refusal, std::ostream* out) { *out << refusal.says; }

class EnablingFaults : public LifecycleFaults, public ::testing::WithParamInterface<Refusal> {};

TEST_P(EnablingFaults, AreExplainedByTheRuleAndUndone) {
  faults_.on(Call::write, "cgroup.subtree_control")
      .skip(GetParam().controller)
      .fails(GetParam().os_errno);
  const auto made = create();
  ASSERT_FALSE(made);
  EXPECT_EQ(made.error().os_errno, GetParam().os_errno);
  EXPECT_THAT(made.error().message(), HasSubstr(GetParam().says));
  EXPECT_FALSE(exists());
  const std::size_t writes = GetParam().controller + 1;
  EXPECT_EQ(faults_.calls(Call::write, "cgroup.subtree_control"), writes + GetParam().controller)
      << "the controllers enabled before are disabled again";
}

INSTANTIATE_TEST_SUITE_P(
    EachRule, EnablingFaults,
    ::testing::Values(Refusal{EBUSY, 0, "processes of its own"},
                      Refusal{EOPNOTSUPP, 1, "memory cannot be enabled in a threaded cgroup"},
                      Refusal{ENOENT, 1, "memory is not in its cgroup.controllers"},
                      Refusal{EINVAL, 0, "real-time tasks"}));

TEST_F(LifecycleFaults, TooManyCgroupsAreExplainedAndTheControllersDisabledAgain) {
  faults_.on(Call::make_directory_at, "a").fails(EAGAIN);
  const auto made = create();
  ASSERT_FALSE(made);
  EXPECT_THAT(made.error().message(), HasSubstr("cgroup.max.descendants"));
  EXPECT_EQ(faults_.calls(Call::write, "cgroup.subtree_control"), 4U);
}

TEST_F(LifecycleFaults, AGroupThatCannotBeDelegatedIsRemovedAgain) {
  faults_.on(Call::change_owner_at, "a/cgroup.procs").fails(EPERM);
  const auto made = create();
  ASSERT_FALSE(made);
  EXPECT_EQ(made.error().os_errno, EPERM);
  EXPECT_FALSE(exists());
}

TEST_F(LifecycleFaults, RemovalOfABusyGroupIsRetried) {
  const Group a = group();
  faults_.on(Call::remove_directory_at, "a").times(2).fails(EBUSY);
  faults_.on(Call::remove_directory_at, "a").returns(0);
  const auto removed = a.remove();
  ASSERT_TRUE(removed) << removed.error().message();
  EXPECT_EQ(removed->directories, 1U);
  EXPECT_EQ(faults_.calls(Call::remove_directory_at, "a"), 3U);
}

TEST_F(LifecycleFaults, RemovalOfABusyGroupEndsAtTheDeadline) {
  const Group a = group();
  faults_.on(Call::remove_directory_at, "a").fails(EBUSY).always();
  Removal how;
  how.deadline = 20ms;
  const auto removed = a.remove(how);
  ASSERT_FALSE(removed);
  EXPECT_EQ(removed.error().kind, errc::timed_out);
}

TEST_F(LifecycleFaults, SettingsAreRestoredInReverseOrder) {
  const Group a = group();
  faults_.on(Call::write, "a/memory.max").fails(EINVAL);
  const auto written =
      settings::apply(a, {{"cpu.weight", "200"}, {"memory.high", "1G"}, {"memory.max", "bad"}});
  ASSERT_FALSE(written);
  EXPECT_EQ(written.error().os_errno, EINVAL);
  EXPECT_THAT(written.error().message(), HasSubstr("memory.max"));
  EXPECT_THAT(written.error().message(), HasSubstr("the other values are as before"));
  EXPECT_EQ(faults_.calls(Call::write, "a/cpu.weight"), 2U);
  EXPECT_EQ(faults_.calls(Call::write, "a/memory.high"), 2U);
}

TEST_F(LifecycleFaults, AValueThatCannotBeRestoredIsNamed) {
  const Group a = group();
  faults_.on(Call::write, "a/cpu.weight").skip(1).fails(EIO);
  faults_.on(Call::write, "a/memory.max").fails(EINVAL);
  const auto written = settings::apply(a, {{"cpu.weight", "200"}, {"memory.max", "bad"}});
  ASSERT_FALSE(written);
  EXPECT_THAT(written.error().message(), HasSubstr("a/cpu.weight is left at 200 instead of 100"));
}

TEST_F(LifecycleFaults, AValueThatCannotBeReadBackIsRestoredAsWell) {
  const Group a = group();
  faults_.on(Call::pread, "a/cpu.weight").skip(1).fails(EIO);
  const auto written = settings::apply(a, {{"cpu.weight", "200"}});
  ASSERT_FALSE(written);
  EXPECT_EQ(faults_.calls(Call::write, "a/cpu.weight"), 2U);
}

}  // namespace lifecycle_test
