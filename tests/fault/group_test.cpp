// SPDX-FileCopyrightText: The cgctl authors
// SPDX-License-Identifier: MIT
#include "cgctl/group.hpp"

#include <gtest/gtest.h>

#include <cerrno>
#include <filesystem>

#include "../support/captured.hpp"
#include "cgctl/tree.hpp"
#include "faulty_sys.hpp"

namespace group_test {

using namespace cgctl;
using fault::Call;
using fault::Faults;

class GroupFaults : public ::testing::Test {
 protected:
  [[nodiscard]] Group open(std::string_view path) const {
    auto group = host_->open(path);
    EXPECT_TRUE(group) << group.error().message();
    return std::move(*group);
  }

  test::CapturedMachine machine_{"linux-5.4-v1-numa2/2-zombies"};
  const Result<Host> host_ = machine_.host();
};

TEST_F(GroupFaults, AReadOfARemovedCgroupIsVanished) {
  const Group pod = open("/kubepods/pod-a");
  Faults faults;
  faults.on(Call::pread, "pod-a/memory.stat").fails(ENODEV);
  const auto text = pod.read("memory.stat");
  ASSERT_FALSE(text);
  EXPECT_EQ(text.error().kind, errc::vanished);
}

TEST_F(GroupFaults, AnInterruptedReadIsComplete) {
  const Group pod = open("/kubepods/pod-a");
  const auto before = pod.read("memory.stat");
  ASSERT_TRUE(before);
  Faults faults;
  faults.on(Call::pread, "memory.stat").at_most(100);
  faults.on(Call::pread, "memory.stat").fails(EINTR);
  EXPECT_EQ(pod.read("memory.stat").value_or("failed"), *before);
}

TEST_F(GroupFaults, AMissingFileOfALiveCgroupIsUnsupportedByThisKernel) {
  std::filesystem::remove(machine_.cgroup("memory/kubepods/pod-a/memory.stat"));
  const auto text = open("/kubepods/pod-a").read("memory.stat");
  ASSERT_FALSE(text);
  EXPECT_EQ(text.error().kind, errc::unsupported);
  EXPECT_EQ(text.error().os_errno, ENOENT);
}

TEST_F(GroupFaults, AMissingFileOfACgroupWithoutProcsIsVanished) {
  const Group pod = open("/kubepods/pod-a");
  std::filesystem::remove(machine_.cgroup("memory/kubepods/pod-a/memory.stat"));
  std::filesystem::remove(machine_.cgroup("memory/kubepods/pod-a/cgroup.procs"));
  const auto text = pod.read("memory.stat");
  ASSERT_FALSE(text);
  EXPECT_EQ(text.error().kind, errc::vanished);
}

TEST_F(GroupFaults, ANewCgroupOfTheSameNameIsNotMistakenForTheOldOne) {
  const Group pod = open("/kubepods/pod-a");
  const auto directory = machine_.cgroup("memory/kubepods/pod-a");
  std::filesystem::remove_all(directory);
  test::put_file(directory / "memory.stat", "cache 1\n");
  test::put_file(directory / "cgroup.procs", "");
  const auto text = pod.read("memory.stat");
  ASSERT_FALSE(text);
  EXPECT_EQ(text.error().kind, errc::vanished);
  EXPECT_EQ(open("/kubepods/pod-a").read("memory.stat").value_or("failed"), "cache 1\n");
}

TEST_F(GroupFaults, AReadThatIsNotAllowedHasItsHint) {
  const Group pod = open("/kubepods/pod-a");
  Faults faults;
  faults.on(Call::open_beneath, "memory.stat").fails(EACCES);
  const auto text = pod.read("memory.stat");
  ASSERT_FALSE(text);
  EXPECT_EQ(text.error().kind, errc::system);
  EXPECT_EQ(text.error().os_errno, EACCES);
  EXPECT_NE(text.error().hint.find("root"), std::string::npos);
}

/// A cgroup whose directory could be opened in only one of two hierarchies.
class HalfOpened : public GroupFaults {
 protected:
  [[nodiscard]] Group half() const {
    Faults faults;
    faults.on(Call::open_beneath, "cpu,cpuacct/kubepods").fails(EACCES);
    return open("/kubepods");
  }
  static int errno_of(const Status& status) { return status ? 0 : status.error().os_errno; }
};

TEST_F(HalfOpened, ReadsFilesOfTheOtherHierarchy) {
  const Group group = half();
  EXPECT_TRUE(group.read("memory.stat"));
  ASSERT_EQ(group.unopened().size(), 1U);
  EXPECT_TRUE(group.unopened().front().hierarchy->has("cpu"));
}

TEST_F(HalfOpened, SaysWhyAFileOfTheHierarchyCannotBeRead) {
  const auto text = half().read("cpu.shares");
  ASSERT_FALSE(text);
  EXPECT_EQ(text.error().os_errno, EACCES);
  EXPECT_EQ(text.error().kind, errc::system);
}

TEST_F(HalfOpened, RefusesOperationsOnAllHierarchies) {
  const Group group = half();
  const auto errno_of_result = [](const auto& result) {
    return result ? 0 : result.error().os_errno;
  };
  EXPECT_EQ(errno_of(group.attach(0)), EACCES);
  EXPECT_EQ(errno_of(group.attach_thread(0)), EACCES);
  EXPECT_EQ(errno_of_result(group.remove()), EACCES);
  EXPECT_EQ(errno_of_result(group.children()), EACCES);
  EXPECT_EQ(errno_of_result(group.processes()), EACCES);
  EXPECT_EQ(errno_of_result(tree::settings_of(group)), EACCES);
}

TEST_F(HalfOpened, AllowsControllersOfTheOtherHierarchy) {
  Faults faults;
  faults.on(Call::open_beneath, "cpu,cpuacct/kubepods").fails(EACCES).always();
  const auto memory = Group::open(*host_, "/kubepods", {"memory"});
  ASSERT_TRUE(memory);
  EXPECT_TRUE(memory->require_all());
  const auto both = Group::open(*host_, "/kubepods", {"cpu", "memory"});
  ASSERT_FALSE(both);
  EXPECT_EQ(both.error().os_errno, EACCES);
}

TEST_F(HalfOpened, HasNoSnapshot) {
  Faults faults;
  faults.on(Call::open_beneath, "cpu,cpuacct/kubepods").fails(EMFILE);
  const auto tree = tree::snapshot(*host_, "/kubepods");
  ASSERT_FALSE(tree);
  EXPECT_EQ(tree.error().os_errno, EMFILE);
}

TEST_F(GroupFaults, AnUnreadableChildIsNotLeftOut) {
  const Group kubepods = open("/kubepods");
  Faults faults;
  faults.on(Call::stat_at, "memory/kubepods/pod-b").fails(ENOMEM);
  const auto children = kubepods.children();
  ASSERT_FALSE(children);
  EXPECT_EQ(children.error().os_errno, ENOMEM);
}

TEST_F(GroupFaults, AnUnreadableCgroupIsNotReportedAsVanished) {
  const Group pod = open("/kubepods/pod-a");
  std::filesystem::remove(machine_.cgroup("memory/kubepods/pod-a/memory.stat"));
  Faults faults;
  faults.on(Call::stat_at, "pod-a/cgroup.procs").fails(EIO);
  const auto text = pod.read("memory.stat");
  ASSERT_FALSE(text);
  EXPECT_EQ(text.error().kind, errc::system);
  EXPECT_EQ(text.error().os_errno, EIO);
}

TEST_F(GroupFaults, AnIncompleteListOfFilesIsAnError) {
  const Group pod = open("/kubepods/pod-a");
  Faults faults;
  faults.on(Call::getdents64, "memory/kubepods/pod-a").skip(1).fails(EIO);
  const auto files = pod.files("memory");
  ASSERT_FALSE(files);
  EXPECT_EQ(files.error().os_errno, EIO);
}

TEST_F(GroupFaults, ASnapshotFailsIfAFileCannotBeRead) {
  Faults faults;
  faults.on(Call::stat_at, "memory.limit_in_bytes").fails(ENOMEM);
  const auto tree = tree::snapshot(*host_, "/kubepods");
  ASSERT_FALSE(tree);
  EXPECT_EQ(tree.error().os_errno, ENOMEM);
}

TEST_F(GroupFaults, IfNoHierarchyOpensTheFirstReasonIsReported) {
  Faults faults;
  faults.on(Call::open_beneath, "kubepods").fails(EMFILE).always();
  const auto group = host_->open("/kubepods");
  ASSERT_FALSE(group);
  EXPECT_EQ(group.error().os_errno, EMFILE);
  EXPECT_NE(group.error().hint.find("ulimit -n"), std::string::npos);
}

TEST_F(GroupFaults, ChildrenThatVanishMeanwhileAreLeftOut) {
  const Group kubepods = open("/kubepods");
  Faults faults;
  faults.on(Call::stat_at, "kubepods/pod-b").fails(ENOENT).always();
  const auto children = kubepods.children();
  ASSERT_TRUE(children);
  EXPECT_EQ(*children, std::vector<std::string>{"pod-a"});
}

TEST_F(GroupFaults, ChildrenOfARemovedCgroupAreAnErrorAndNotAnEmptyList) {
  const Group pod = open("/kubepods/pod-a");
  EXPECT_EQ(pod.children().value_or(std::vector<std::string>{"failed"}),
            std::vector<std::string>());
  for (const char* hierarchy : {"memory", "cpu,cpuacct"}) {
    std::filesystem::remove_all(machine_.cgroup(hierarchy) / "kubepods/pod-a");
  }
  const auto children = pod.children();
  ASSERT_FALSE(children);
  EXPECT_EQ(children.error().kind, errc::vanished);
}

TEST_F(GroupFaults, AListingThatFailsIsAnErrorAndNotAnEmptyList) {
  const Group kubepods = open("/kubepods");
  Faults faults;
  faults.on(Call::getdents64, "memory/kubepods").fails(EIO);
  const auto children = kubepods.children();
  ASSERT_FALSE(children);
  EXPECT_EQ(children.error().os_errno, EIO);
}

}  // namespace group_test
