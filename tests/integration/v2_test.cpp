// SPDX-FileCopyrightText: The cgctl authors
// SPDX-License-Identifier: MIT

// Checks the rules of v2 (Documentation/admin-guide/cgroup-v2.rst), in the memory controller's
// hierarchy.

#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <sys/stat.h>

#include <cerrno>
#include <chrono>
#include <cstdint>
#include <fstream>
#include <string>
#include <thread>

#include "../support/result.hpp"
#include "../support/skip.hpp"
#include "cgctl/group.hpp"
#include "cgctl/parse.hpp"
#include "cgctl/pressure.hpp"
#include "cgctl/zombies.hpp"
#include "real_cgroups.hpp"

namespace v2_test {

using namespace cgctl;
using test::must;
using ::testing::HasSubstr;

class RealV2 : public test::RealCgroups {
 protected:
  void SetUp() override {
    RealCgroups::SetUp();
    if (IsSkipped() || HasFatalFailure()) return;
    if (!v2()) GTEST_SKIP() << "the memory controller is on v1";
  }
  static int idle() { return 0; }
  [[nodiscard]] bool exists(std::string_view below) const {
    struct ::stat found {};
    return ::stat(directory(below).c_str(), &found) == 0;
  }
  [[nodiscard]] std::string refusal(std::string_view below) const {
    const auto made = Group::create(host(), path(below), {{"memory"}, std::nullopt});
    return made ? "was made" : made.error().message();
  }
};

TEST_F(RealV2, ACgroupWithProcessesEnablesNoController) {
  make("a");
  const test::Tenant tenant(directory("a"), idle);
  EXPECT_THAT(refusal("a/b"), HasSubstr("processes of its own"));
  EXPECT_FALSE(exists("a/b"));
  EXPECT_EQ(test::file_text(directory("a/cgroup.subtree_control")).find("memory"),
            std::string::npos);
}

TEST_F(RealV2, EnablingAThreadedControllerBreaksNoSibling) {
  make("a");
  make("a/neighbour");
  const test::Tenant tenant(directory("a"), idle);
  const auto made = Group::create(host(), path("a/b"), {{"pids"}, std::nullopt});
  ASSERT_FALSE(made);
  EXPECT_EQ(made.error().os_errno, EBUSY) << made.error().message();
  EXPECT_FALSE(exists("a/b"));
  EXPECT_EQ(test::file_text(directory("a/cgroup.type")), "domain\n");
  EXPECT_EQ(test::file_text(directory("a/neighbour/cgroup.type")), "domain\n");
}

TEST_F(RealV2, AThreadedCgroupWithThreadsIsNotRemovedAndSaysWhy) {
  make("a");
  make("a/threads");
  std::ofstream(directory("a/threads/cgroup.type")) << "threaded";
  const test::Tenant tenant(directory("a"), idle);
  const pid_t process = must(must(host().open(path("a"))).processes()).front();
  const Group threads = must(host().open(path("a/threads")));
  ASSERT_TRUE(test::ok(threads.attach_thread(process)));
  Removal how;
  how.tasks = Removal::Tasks::kill;
  const auto removed = threads.remove(how);
  ASSERT_FALSE(removed);
  EXPECT_THAT(removed.error().message(), HasSubstr("it is threaded"));
}

TEST_F(RealV2, ACgroupWithEnabledControllersRefusesProcesses) {
  const Group below = must(Group::create(host(), path("a/b"), {{"memory"}, std::nullopt}));
  const Group group = must(host().open(path("a")));
  const test::Tenant tenant(directory("a/b"), idle);
  const auto moved = group.attach(must(below.processes()).front());
  ASSERT_FALSE(moved);
  EXPECT_EQ(moved.error().os_errno, EBUSY);
  EXPECT_THAT(moved.error().message(), HasSubstr("controllers are enabled"));
}

TEST_F(RealV2, AThreadedCgroupHasNoMemoryControllerAndTakesSingleThreads) {
  make("a");
  make("a/threads");
  std::ofstream(directory("a/threads/cgroup.type")) << "threaded";
  ASSERT_EQ(test::file_text(directory("a/threads/cgroup.type")), "threaded\n");
  EXPECT_THAT(refusal("a/threads/b"), HasSubstr("memory"));
  EXPECT_FALSE(exists("a/threads/b"));

  const Group threads = must(host().open(path("a/threads")));
  const test::Tenant tenant(directory("a"), idle);
  const pid_t process = must(must(host().open(path("a"))).processes()).front();
  ASSERT_TRUE(test::ok(threads.attach_thread(process)));
  EXPECT_EQ(test::file_text(directory("a/threads/cgroup.threads")), std::to_string(process) + "\n");
}

TEST_F(RealV2, NoMoreCgroupsAreCreatedThanAnAncestorAllows) {
  make("a");
  std::ofstream(directory("a/cgroup.max.descendants")) << "1";
  EXPECT_EQ(refusal("a/b"), "was made");
  EXPECT_THAT(refusal("a/c"), HasSubstr("cgroup.max.descendants"));
  EXPECT_FALSE(exists("a/c"));
}

TEST_F(RealV2, AControllerThatTheParentLacksIsEnabledFromTheRootOn) {
  make("a");
  std::ofstream(directory("cgroup.subtree_control")) << "-memory";
  make("a/b");
  // make() calls mkdir(2). create() would enable the controller from the root on.
  const auto controllers = test::file_text(directory("a/cgroup.controllers"));
  EXPECT_EQ(controllers.find("memory"), std::string::npos);
  EXPECT_EQ(refusal("a/b/c"), "was made") << "enabled all the way down";
  EXPECT_NE(test::file_text(directory("a/b/c/cgroup.controllers")).find("memory"),
            std::string::npos);
}

TEST_F(RealV2, RemovedCgroupsAreCountedBelowEachAncestor) {
  constexpr std::uint64_t number = 100;
  const auto files = folder(lab::Pin::page_cache);
  ASSERT_TRUE(files);
  make("b");
  auto maker = zombies(lab::Pin::page_cache, *files, "a");
  ASSERT_TRUE(maker) << maker.error().message();
  ASSERT_TRUE(maker->make(number));
  const std::uint64_t all = settled();
  const auto dying = [this](std::string_view below) {
    const std::string stat = test::file_text(directory(below) + "/cgroup.stat");
    return parse::value_of(stat, "nr_dying_descendants").value_or(0);
  };
  // From Linux 7.1 on the parent gets their pages, and a dirty inode keeps some alive for a while.
  if (!test::kernel_is_at_least(7, 1)) {
    EXPECT_EQ(dying("a"), number);
  }
  EXPECT_EQ(dying("b"), 0U);
  EXPECT_GE(all, dying("a"));
  const auto where =
      zombies::attribute(host(), {std::chrono::minutes(1), std::chrono::seconds(10)});
  ASSERT_TRUE(where) << where.error().message();
  const auto attributed = [&](std::string_view below) -> std::uint64_t {
    for (const zombies::Ancestor& ancestor : where->ancestors) {
      if (ancestor.path == path(below)) return ancestor.count.value_or(0);
    }
    return 0;
  };
  EXPECT_EQ(attributed("a"), dying("a"));
  EXPECT_EQ(attributed("b"), 0U);

  // Cgroups of other programs may come and go between the two reads.
  EXPECT_EQ(test::persist(5,
                          [&]() -> std::string {
                            const auto count = zombies::count(host());
                            if (!count) return count.error().message();
                            const std::string stat =
                                test::file_text(hierarchy().mount_point + "/cgroup.stat");
                            const auto of_memory = parse::value_of(stat, "nr_dying_subsys_memory");
                            const auto of_all = parse::value_of(stat, "nr_dying_descendants");
                            if (!count->exact()) return "not exact";
                            if (count->memory_only != of_memory.has_value())
                              return "memory_only is wrong";
                            return count->low == of_memory.value_or(*of_all) ? "" : stat;
                          }),
            "");
}

TEST_F(RealV2, APressureFileIsReadOfEachCgroup) {
  make("a");
  const Group group = must(host().open(path("a")));
  for (const auto resource :
       {pressure::Resource::cpu, pressure::Resource::io, pressure::Resource::memory}) {
    const auto read = pressure::read(group, resource);
    ASSERT_TRUE(test::ok(read)) << to_string(resource);
    EXPECT_GE(read->some.avg10, 0);
    EXPECT_LE(read->some.avg10, 100);
  }
}

}  // namespace v2_test
