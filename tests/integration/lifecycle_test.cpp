// SPDX-FileCopyrightText: The cgctl authors
// SPDX-License-Identifier: MIT
#include <fcntl.h>
#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <signal.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <chrono>
#include <filesystem>
#include <fstream>
#include <stdexcept>
#include <string>
#include <thread>
#include <vector>

#include "../support/result.hpp"
#include "../support/skip.hpp"
#include "cgctl/filesystem.hpp"
#include "cgctl/group.hpp"
#include "cgctl/settings.hpp"
#include "real_cgroups.hpp"

namespace lifecycle_test {

using namespace cgctl;
using namespace std::chrono_literals;
using test::must;
using ::testing::Contains;
using ::testing::HasSubstr;
using ::testing::IsEmpty;

class RealLifecycle : public test::RealCgroups {
 protected:
  RealLifecycle() : RealCgroups(Needs::cpu_at_least) {}
  static bool exists(const Hierarchy& hierarchy, const std::string& path) {
    struct ::stat found {};
    return ::stat((hierarchy.mount_point + path).c_str(), &found) == 0;
  }

  Group made(std::string_view below, const Creation& how = {}) {
    auto group = Group::create(host(), path(below), how);
    if (!group) throw std::runtime_error(group.error().message());
    return std::move(*group);
  }
};

TEST_F(RealLifecycle, OneCallMakesTheGroupInEachHierarchyThatHasAWantedController) {
  const Group group = made("a/b/c");
  for (const char* const controller : {"cpu", "cpuacct", "memory"}) {
    const Hierarchy* const hierarchy = host().find(controller);
    if (hierarchy == nullptr) continue;
    EXPECT_TRUE(exists(*hierarchy, path("a/b/c"))) << controller;
    EXPECT_TRUE(group.place(controller)) << controller;
  }
  EXPECT_TRUE(Group::create(host(), path("a/b/c"))) << "an existing cgroup stays as it is";
}

TEST_F(RealLifecycle, OneCallRemovesItFromEachHierarchyThatHasIt) {
  const Group group = made("a");
  const auto removed = group.remove();
  ASSERT_TRUE(removed) << removed.error().message();
  EXPECT_EQ(removed->directories, group.places().size());
  for (const Hierarchy& hierarchy : host().hierarchies()) {
    EXPECT_FALSE(exists(hierarchy, path("a"))) << hierarchy.mount_point;
  }
  EXPECT_EQ(group.remove().error().kind, errc::vanished);
}

TEST_F(RealLifecycle, WithAMissingControllerNothingIsCreated) {
  Creation how;
  how.controllers = {has_memory() ? "memory" : "cpu", "none-such"};
  const auto group = Group::create(host(), path("a"), how);
  ASSERT_FALSE(group);
  EXPECT_THAT(group.error().message(), HasSubstr("none-such"));
  EXPECT_FALSE(exists(hierarchy(), path("a")));
}

TEST_F(RealLifecycle, AnIncompleteCreationIsUndone) {
  // The kernel refuses the name of the last of the three directories.
  const std::string bad = "a/b/" + std::string("bad\nname");
  const auto group = Group::create(host(), path(bad));
  ASSERT_FALSE(group) << "kernfs refuses a newline";
  EXPECT_EQ(group.error().os_errno, EINVAL) << group.error().message();
  for (const Hierarchy& hierarchy : host().hierarchies()) {
    EXPECT_FALSE(exists(hierarchy, path("a"))) << hierarchy.mount_point;
  }
}

TEST_F(RealLifecycle, TheRootIsNeitherMadeNorRemoved) {
  EXPECT_EQ(Group::create(host(), "/").error().kind, errc::invalid_argument);
  const auto root = host().open("/");
  ASSERT_TRUE(root);
  EXPECT_EQ(root->remove().error().kind, errc::invalid_argument);
}

TEST_F(RealLifecycle, DelegationChangesTheOwnerOfDirectoryAndProcs) {
  Creation how;
  how.owner = Owner{65534, 65534};
  const Group group = made("a/b", how);
  for (const Group::Place& place : group.places()) {
    const std::string directory = place.hierarchy->mount_point + path("a/b");
    struct ::stat found {};
    for (const char* const given : {"", "/cgroup.procs"}) {
      ASSERT_EQ(::stat((directory + given).c_str(), &found), 0);
      EXPECT_EQ(found.st_uid, 65534U) << directory << given;
      EXPECT_EQ(found.st_gid, 65534U) << directory << given;
    }
    ASSERT_EQ(::stat((place.hierarchy->mount_point + path("a")).c_str(), &found), 0);
    EXPECT_EQ(found.st_uid, 0U) << "the parent was created, not delegated";
  }
  const std::string limit = directory("a/b") + (!has_memory() ? "/cpu.shares"
                                                : v2()        ? "/memory.max"
                                                              : "/memory.limit_in_bytes");
  struct ::stat found {};
  ASSERT_EQ(::stat(limit.c_str(), &found), 0);
  EXPECT_EQ(found.st_uid, 0U) << "its user may not raise its limits";
}

TEST_F(RealLifecycle, ACgroupWithChildrenIsNotRemoved) {
  const Group group = made("a");
  const Group below = made("a/b");
  const auto removed = group.remove();
  ASSERT_FALSE(removed);
  EXPECT_EQ(removed.error().os_errno, EBUSY);
  EXPECT_THAT(removed.error().message(), HasSubstr("cgroups below it (b)"));
  for (const Group::Place& place : group.places()) {
    EXPECT_TRUE(exists(*place.hierarchy, path("a/b")));
  }
  Removal how;
  how.below = Removal::Below::remove;
  const auto all = group.remove(how);
  ASSERT_TRUE(all) << all.error().message();
  EXPECT_EQ(all->directories, 2 * group.places().size());
}

TEST_F(RealLifecycle, ACgroupWithProcessesIsNotRemoved) {
  const Group group = made("a");
  const test::Tenant tenant(directory("a"), [] { return 0; });
  const auto removed = group.remove();
  ASSERT_FALSE(removed);
  EXPECT_EQ(removed.error().os_errno, EBUSY);
  EXPECT_THAT(removed.error().message(), HasSubstr("1 process is in it"));
  for (const Group::Place& place : group.places()) {
    EXPECT_TRUE(exists(*place.hierarchy, path("a"))) << place.hierarchy->mount_point;
  }
}

TEST_F(RealLifecycle, AGroupOfTheSameNameIsNotMistakenForTheOneThatWasOpened) {
  const Group first = made("a");
  ASSERT_TRUE(first.remove());
  const Group second = made("a");
  EXPECT_EQ(first.remove().error().kind, errc::vanished);
  EXPECT_TRUE(exists(hierarchy(), path("a")));
}

/// A child process that waits to be killed.
class Child {
 public:
  explicit Child(void (*prepare)() = [] {}) : pid_(::fork()) {
    if (pid_ == 0) {
      prepare();
      for (;;) ::pause();
    }
  }
  Child(const Child&) = delete;
  Child& operator=(const Child&) = delete;
  ~Child() {
    ::kill(pid_, SIGKILL);
    ::waitpid(pid_, nullptr, 0);
  }
  [[nodiscard]] pid_t pid() const { return pid_; }
  /// Returns the signal that killed the child, or 0.
  int ended_by() {
    int status = 0;
    return ::waitpid(pid_, &status, 0) == pid_ && WIFSIGNALED(status) ? WTERMSIG(status) : 0;
  }

 private:
  pid_t pid_;
};

TEST_F(RealLifecycle, AProcessIsMovedInEveryHierarchyThatHasTheGroup) {
  const Group group = made("a");
  const Child child;
  const auto status = group.attach(child.pid());
  ASSERT_TRUE(status) << status.error().message();
  const std::string text = test::file_text("/proc/" + std::to_string(child.pid()) + "/cgroup");
  const auto rows = parse_membership(text);
  for (const Group::Place& place : group.places()) {
    const MembershipRow* const row = find_row(rows, *place.hierarchy);
    ASSERT_NE(row, nullptr);
    EXPECT_EQ(row->path, path("a")) << place.hierarchy->mount_point;
  }
  EXPECT_THAT(*group.processes(), Contains(child.pid()));
}

TEST_F(RealLifecycle, AMissingProcessIsReported) {
  const Group group = made("a");
  const auto status = group.attach(0x3ffffff);
  ASSERT_FALSE(status);
  EXPECT_EQ(status.error().os_errno, ESRCH);
  EXPECT_THAT(status.error().message(), HasSubstr("there is no process"));
}

TEST_F(RealLifecycle, AProcessThatOneHierarchyRefusesStaysWhereItWasInAll) {
  const Hierarchy* const cpuset = host().find("cpuset");
  if (cpuset == nullptr || cpuset->version != Version::v1) {
    return test::skip("needs the cpuset controller on v1");
  }
  Creation how;
  how.controllers = {has_memory() ? "memory" : "cpu", "cpuset", "pids"};
  if (host().find("pids") == nullptr) how.controllers.pop_back();
  const Group group = made("a", how);
  const Child child;
  const std::string file = "/proc/" + std::to_string(child.pid()) + "/cgroup";
  const std::string before = test::file_text(file);
  const auto status = group.attach(child.pid());
  ASSERT_FALSE(status) << "cpuset.cpus is empty";
  EXPECT_EQ(status.error().os_errno, ENOSPC);
  EXPECT_THAT(status.error().message(), HasSubstr("cpuset.cpus or cpuset.mems"));
  EXPECT_EQ(test::file_text(file), before);
}

TEST_F(RealLifecycle, KillEndsEveryProcessInItAndBelow) {
  const Group group = made("a");
  // On v2 a cgroup with processes cannot give controllers to its children, so the child cgroup is
  // created without any.
  if (v2()) ::mkdir(directory("a/b").c_str(), 0755);
  const Group below = v2() ? test::must(host().open(path("a/b"))) : made("a/b");
  Child one;
  Child two([] { ::signal(SIGTERM, SIG_IGN); });
  ASSERT_TRUE(group.attach(one.pid()));
  ASSERT_TRUE(below.attach(two.pid()));
  std::thread reaper([&] {
    EXPECT_EQ(one.ended_by(), SIGKILL);
    EXPECT_EQ(two.ended_by(), SIGKILL);
  });
  const auto status = group.kill(10s);
  reaper.join();
  ASSERT_TRUE(status) << status.error().message();
  EXPECT_THAT(*group.processes(), IsEmpty());
  EXPECT_THAT(*below.processes(), IsEmpty());
}

TEST_F(RealLifecycle, KillNeverEndsItsCaller) {
  const Group group = made("a");
  const pid_t child = ::fork();
  if (child == 0) {
    const bool refused = group.attach(0) && group.kill(1s).error().os_errno == EBUSY;
    ::_exit(refused ? 0 : 1);
  }
  int status = 0;
  ASSERT_EQ(::waitpid(child, &status, 0), child);
  EXPECT_TRUE(WIFEXITED(status)) << "it was killed";
  EXPECT_EQ(WEXITSTATUS(status), 0);
}

/// In each round creates a cgroup, writes a small file from inside, leaves the cgroup, and removes
/// it. Returns the bytes left.
std::uint64_t zombies_after(const Host& host, const std::string& path, const std::string& files,
                            unsigned rounds, Removal::Pages pages) {
  std::uint64_t left = 0;
  static unsigned number =
      0;  // each round writes a new file: a page stays charged to its first cgroup
  for (unsigned round = 0; round < rounds; ++round) {
    auto group = Group::create(host, path, {{"memory"}, {}});
    if (!group) throw std::runtime_error(group.error().message());
    const std::string file = files + "/" + std::to_string(++number);
    {
      const test::Tenant tenant(fs::join(host.find("memory")->mount_point, path), [&file] {
        const int fd = ::open(file.c_str(), O_WRONLY | O_CREAT | O_CLOEXEC, 0600);
        const bool written = fd >= 0 && ::write(fd, "small\n", 6) == 6;
        ::close(fd);
        return written ? 0 : errno;
      });
    }
    Removal how;
    how.pages = pages;
    const auto removed = group->remove(how);
    if (!removed) throw std::runtime_error(removed.error().message());
    left += removed->bytes_left;
  }
  return left;
}

TEST_F(RealLifecycle, RemovedEmptyAGroupLeavesNoZombie) {
  if (!has_memory()) return test::skip("no memory controller");
  const auto files = folder(lab::Pin::page_cache);
  if (!files) return test::skip("no folder on a disk");
  constexpr unsigned rounds = 25;
  constexpr unsigned left = rounds / 25;
  read_inode_tables(*files, rounds);
  EXPECT_EQ(test::persist(
                3,
                [&]() -> std::string {
                  const std::uint64_t before = settled();
                  zombies_after(host(), path("z"), files->path(), rounds, Removal::Pages::empty);
                  const std::uint64_t after = falls_to(before + left);
                  return after <= before + left ? ""
                                                : std::to_string(after - before) + " zombies more";
                }),
            "");
  const std::uint64_t before = settled();
  zombies_after(host(), path("z"), files->path(), rounds, Removal::Pages::leave);
  EXPECT_GE(settled(), before + rounds / 2) << "without emptying, zombies remain";
}

/// docs/tour.md quotes the figures.
TEST_F(RealLifecycle, OfThreeHundredRoundsAtMostTwoInAHundredLeaveAZombieWhenEmptiedFirst) {
  if (!has_memory()) return test::skip("no memory controller");
  const auto files = folder(lab::Pin::page_cache);
  if (!files) return test::skip("no folder on a disk");
  constexpr unsigned rounds = 300;
  read_inode_tables(*files, rounds);
  const auto more = [&](Removal::Pages pages) {
    const std::uint64_t before = settled();
    zombies_after(host(), path("z"), files->path(), rounds, pages);
    const std::uint64_t limit = before + (pages == Removal::Pages::empty ? rounds / 50 : 0);
    const std::uint64_t after = pages == Removal::Pages::empty ? falls_to(limit) : settled();
    return after - std::min(after, before);
  };
  EXPECT_EQ(test::persist(2,
                          [&]() -> std::string {
                            const std::uint64_t left = more(Removal::Pages::empty);
                            RecordProperty("emptied_first", std::to_string(left));
                            return left <= rounds / 50 ? "" : std::to_string(left) + " zombies";
                          }),
            "");
  const std::uint64_t left = more(Removal::Pages::leave);
  RecordProperty("as_it_is", std::to_string(left));
  EXPECT_GE(left, rounds * 9 / 10) << "without emptying, about each round leaves a zombie";
}

TEST_F(RealLifecycle, OnlyNewDirectoriesAreUndone) {
  const Group there = made("a");
  std::vector<Made> all;
  const auto group = Group::create(host(), path("a/b/c"), {}, all);
  ASSERT_TRUE(group) << group.error().message();
  ASSERT_TRUE(Group::create(host(), path("a/b/c"), {}, all)) << "no second cgroup is created";
  const auto directories =
      std::count_if(all.begin(), all.end(), [](const Made& one) { return one.is_directory; });
  EXPECT_EQ(directories, 2 * static_cast<std::ptrdiff_t>(there.places().size()));
  ASSERT_TRUE(unmake(all));
  for (const auto& place : there.places()) {
    EXPECT_TRUE(exists(*place.hierarchy, path("a")));
    EXPECT_FALSE(exists(*place.hierarchy, path("a/b")));
  }
  EXPECT_TRUE(unmake(all)) << "undoing twice is no error";
}

TEST_F(RealLifecycle, AControllerThatWasSwitchedOffIsOnAgain) {
  const Hierarchy* const unified = host().unified();
  if (unified == nullptr) return test::skip("no v2 hierarchy");
  if (unified->controllers.empty()) return test::skip("the v2 hierarchy has no controller");
  const std::string& controller = unified->controllers.front();
  const Group below = made("a/b", {{controller}, std::nullopt});
  const Group group = must(host().open(path("a")));
  ASSERT_TRUE(below.remove());
  const std::string before = must(group.read("cgroup.subtree_control"));
  ASSERT_THAT(before, HasSubstr(controller));
  const auto written = settings::apply(
      group, {{"cgroup.subtree_control", "-" + controller}, {"cgroup.max.depth", "bad"}});
  ASSERT_FALSE(written);
  EXPECT_THAT(written.error().message(), HasSubstr("the other values are as before"));
  EXPECT_EQ(must(group.read("cgroup.subtree_control")), before);
}

// ---- settings ----

class RealSettings : public RealLifecycle {
 protected:
  void SetUp() override {
    RealLifecycle::SetUp();
    if (IsSkipped()) return;
    if (v2() || !has_memory()) return test::skip("the values are those of v1's memory controller");
  }
  [[nodiscard]] std::string value(const Group& group, const char* file) const {
    return group.read(file).value_or("unreadable");
  }
};

TEST_F(RealSettings, ReportValuesThatTheKernelChanged) {
  const Group group = made("a");
  const auto written =
      settings::apply(group, {{"memory.limit_in_bytes", "1000000"}, {"memory.swappiness", "10"}});
  ASSERT_TRUE(written) << written.error().message();
  ASSERT_EQ(written->size(), 2U);
  EXPECT_EQ((*written)[0].before, "9223372036854771712");
  EXPECT_EQ((*written)[0].kept, "999424") << "whole pages";
  EXPECT_EQ((*written)[1].kept, "10");
}

TEST_F(RealSettings, ABadFifthValueRestoresTheFirstFour) {
  const Hierarchy* const cpu = host().find("cpu");
  if (cpu == nullptr || cpu->version != Version::v1) return test::skip("needs cpu on v1");
  const Group group = made("a");
  ASSERT_TRUE(settings::apply(group, {{"cpu.shares", "300"}, {"memory.swappiness", "33"}}));
  const auto written = settings::apply(group, {{"cpu.shares", "512"},
                                               {"cpu.cfs_quota_us", "50000"},
                                               {"memory.swappiness", "10"},
                                               {"memory.limit_in_bytes", "1G"},
                                               {"cpu.cfs_period_us", "999"}});
  ASSERT_FALSE(written) << "a period is 1 ms at least";
  EXPECT_EQ(written.error().os_errno, EINVAL);
  EXPECT_THAT(written.error().message(), HasSubstr("cpu.cfs_period_us"));
  EXPECT_THAT(written.error().message(), HasSubstr("the other values are as before"));
  EXPECT_EQ(value(group, "cpu.shares"), "300\n");
  EXPECT_EQ(value(group, "cpu.cfs_quota_us"), "-1\n");
  EXPECT_EQ(value(group, "memory.swappiness"), "33\n");
  EXPECT_EQ(value(group, "memory.limit_in_bytes"), "9223372036854771712\n");
  EXPECT_EQ(value(group, "cpu.cfs_period_us"), "100000\n");
}

TEST_F(RealSettings, AMissingFileStopsTheTransactionBeforeAnyWrite) {
  const Group group = made("a");
  const auto written =
      settings::apply(group, {{"memory.swappiness", "10"}, {"memory.none_such", "1"}});
  ASSERT_FALSE(written);
  EXPECT_EQ(written.error().kind, errc::unsupported);
  EXPECT_NE(value(group, "memory.swappiness"), "10\n");
}

TEST_F(RealSettings, AValueWithoutUndoIsWrittenLastOrAlone) {
  const Group group = made("a");
  const auto first =
      settings::apply(group, {{"memory.force_empty", "0"}, {"memory.swappiness", "10"}});
  ASSERT_FALSE(first);
  EXPECT_EQ(first.error().kind, errc::invalid_argument);
  EXPECT_NE(value(group, "memory.swappiness"), "10\n");
  const auto last =
      settings::apply(group, {{"memory.swappiness", "10"}, {"memory.force_empty", "0"}});
  ASSERT_TRUE(last) << last.error().message();
  EXPECT_EQ((*last)[1].before, "");
  EXPECT_EQ(value(group, "memory.swappiness"), "10\n");
}

TEST_F(RealSettings, ACounterIsNotRestored) {
  if (host().find("cpuacct") == nullptr) return test::skip("no cpuacct");
  const Group group = made("a");
  ASSERT_TRUE(settings::apply(group, {{"memory.swappiness", "33"}}));
  for (const char* const file : {"memory.max_usage_in_bytes", "memory.failcnt", "cpuacct.usage"}) {
    const auto written = settings::apply(group, {{file, "0"}, {"memory.swappiness", "10"}});
    ASSERT_FALSE(written) << file;
    EXPECT_EQ(written.error().kind, errc::invalid_argument) << written.error().message();
    EXPECT_EQ(value(group, "memory.swappiness"), "33\n");
    EXPECT_TRUE(settings::apply(group, {{"memory.swappiness", "33"}, {file, "0"}})) << file;
  }
}

TEST_F(RealSettings, ThePeakIsNotLostToATransactionThatFails) {
  const Group group = made("a");
  const test::Tenant tenant(fs::join(host().find("memory")->mount_point, path("a")), [] {
    const std::vector<char> touched(8 << 20, 'x');
    return touched.back() == 'x' ? 0 : 1;
  });
  const std::string before = value(group, "memory.max_usage_in_bytes");
  EXPECT_FALSE(settings::apply(
      group, {{"memory.max_usage_in_bytes", "0"}, {"memory.limit_in_bytes", "bad"}}));
  EXPECT_EQ(value(group, "memory.max_usage_in_bytes"), before);
}

TEST_F(RealSettings, AnEmptyValueIsRefused) {
  const Group group = made("a");
  const auto written =
      settings::apply(group, {{"memory.swappiness", "10"}, {"memory.soft_limit_in_bytes", ""}});
  ASSERT_FALSE(written);
  EXPECT_EQ(written.error().kind, errc::invalid_argument);
  EXPECT_NE(value(group, "memory.swappiness"), "10\n");
}

TEST_F(RealSettings, AFailedLastStepRollsBackAllValues) {
  const Group group = made("a");
  ASSERT_TRUE(settings::apply(group, {{"memory.swappiness", "33"}}));
  std::string meanwhile;
  const auto written = settings::apply(group, {{"memory.swappiness", "10"}}, [&]() -> Status {
    meanwhile = value(group, "memory.swappiness");
    return fail(Error::make(errc::cancelled, "begin", "it", "not this time"));
  });
  EXPECT_EQ(meanwhile, "10\n");
  ASSERT_FALSE(written);
  EXPECT_EQ(written.error().message(), "begin it: not this time");
  EXPECT_EQ(value(group, "memory.swappiness"), "33\n");
  const auto counter =
      settings::apply(group, {{"memory.failcnt", "0"}}, []() -> Status { return {}; });
  EXPECT_FALSE(counter) << "nor the last value";
}

TEST_F(RealSettings, ARefusalNamesTheRule) {
  const Hierarchy* const cpu = host().find("cpu");
  if (cpu == nullptr || cpu->version != Version::v1) return test::skip("needs cpu on v1");
  const Group group = made("a");
  const auto refusal = [&](const std::vector<settings::Setting>& settings) {
    const auto written = settings::apply(group, settings);
    return written ? "taken" : written.error().message();
  };
  EXPECT_THAT(refusal({{"cpu.cfs_quota_us", "500"}}), HasSubstr("a quota of 500 us is too small"));
  EXPECT_THAT(refusal({{"cpu.cfs_quota_us", "5000"}, {"cpu.cfs_period_us", "999"}}),
              HasSubstr("a period of 999 us is out of range"));
  EXPECT_THAT(refusal({{"memory.swappiness", "999"}}), HasSubstr("out of range"));
}

}  // namespace lifecycle_test
