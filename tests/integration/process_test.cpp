// SPDX-FileCopyrightText: The cgctl authors
// SPDX-License-Identifier: MIT
#include "cgctl/process.hpp"

#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <poll.h>
#include <sched.h>
#include <signal.h>
#include <sys/eventfd.h>
#include <sys/wait.h>
#include <unistd.h>

#include <atomic>
#include <cerrno>
#include <chrono>
#include <cstdint>
#include <cstdlib>
#include <filesystem>
#include <sstream>
#include <string>
#include <thread>
#include <vector>

#include "../support/child.hpp"
#include "../support/result.hpp"
#include "../support/skip.hpp"
#include "cgctl/group.hpp"
#include "cgctl/unique_fd.hpp"
#include "real_cgroups.hpp"

namespace process_test {

using namespace cgctl;
using process::Command;
using test::must;
using test::ok;
using ::testing::HasSubstr;

class RealProcess : public test::RealCgroups {
 protected:
  RealProcess() : RealCgroups(Needs::cpu_at_least) {}
  [[nodiscard]] Group made(std::string_view below,
                           std::vector<std::string> controllers = {}) const {
    return must(Group::create(host(), path(below), {std::move(controllers), std::nullopt}));
  }
  static int status_of(const process::Child& child) {
    int status = 0;
    EXPECT_EQ(::waitpid(child.pid, &status, 0), child.pid);
    return status;
  }
  /// Returns the output of `script`, run by a shell inside `group`.
  [[nodiscard]] std::string output(const Group& group, const std::string& script) const {
    const std::string file = files_ / "output";
    const auto child =
        process::start(group, Command{{"sh", "-c", "exec >" + file + "; " + script}, nullptr});
    if (!child) return child.error().message();
    EXPECT_EQ(status_of(*child), 0);
    return test::file_text(file);
  }

  test::TempDirectory files_;
};

TEST_F(RealProcess, TheFirstInstructionIsInTheCgroupInEveryHierarchyThatHasIt) {
  const Group group = made("run");
  const std::string text = output(group, "cat /proc/self/cgroup");
  for (const auto& place : group.places()) {
    const auto rows = parse_membership(text);
    const MembershipRow* const row = find_row(rows, *place.hierarchy);
    ASSERT_NE(row, nullptr);
    EXPECT_EQ(row->path, group.path()) << place.hierarchy->mount_point;
  }
}

TEST_F(RealProcess, OnV2ItStartsInTheCgroup) {
  const Hierarchy* const unified = host().unified();
  if (unified == nullptr) return test::skip("no v2 hierarchy");
  ASSERT_TRUE(std::filesystem::create_directories(unified->mount_point + path("born")));
  const Group group = must(host().open(path("born")));
  const test::Writes moves(unified->mount_point + path("born/cgroup.procs"));
  const auto child = process::start(group, Command{{"sleep", "60"}, nullptr});
  ASSERT_TRUE(ok(child));
  EXPECT_EQ(must(group.processes()), std::vector<pid_t>{child->pid});
  EXPECT_EQ(moves.seen(), !test::kernel_is_at_least(5, 7))
      << "moved in, not started inside (CLONE_INTO_CGROUP)";
  ASSERT_TRUE(ok(group.attach(child->pid)));
  EXPECT_TRUE(moves.seen()) << "a move does not show";
  ASSERT_TRUE(ok(group.kill(std::chrono::seconds(10)))) << "while no process waits for it";
  EXPECT_EQ(WTERMSIG(status_of(*child)), SIGKILL);
}

TEST_F(RealProcess, OnV2TheKernelKillsAllAtOnce) {
  const Hierarchy* const unified = host().unified();
  if (unified == nullptr) return test::skip("no v2 hierarchy");
  if (!test::kernel_is_at_least(5, 14)) return test::skip("no cgroup.kill before Linux 5.14");
  const std::string there = unified->mount_point + path("killed");
  ASSERT_TRUE(std::filesystem::create_directories(there));
  const Group group = must(host().open(path("killed")));
  const auto child = process::start(group, Command{{"sleep", "60"}, nullptr});
  ASSERT_TRUE(ok(child));
  const test::Writes kills(there + "/cgroup.kill");
  const test::Writes freezes(there + "/cgroup.freeze");
  ASSERT_TRUE(ok(group.kill(std::chrono::seconds(10))));
  EXPECT_TRUE(kills.seen());
  EXPECT_FALSE(freezes.seen()) << "one by one, as without cgroup.kill";
  EXPECT_EQ(WTERMSIG(status_of(*child)), SIGKILL);
  ASSERT_TRUE(ok(group.write("cgroup.freeze", "0")));
  EXPECT_TRUE(freezes.seen()) << "a freeze does not show";
}

TEST_F(RealProcess, ThePidfdIsReadableOnceItHasEnded) {
  const Group group = made("run");
  const auto child = process::start(group, Command{{"true"}, nullptr});
  ASSERT_TRUE(ok(child));
  if (!child->pidfd) {
    EXPECT_EQ(status_of(*child), 0);
    return test::skip("no pidfd before Linux 5.3");
  }
  pollfd poll{child->pidfd.get(), POLLIN, 0};
  EXPECT_EQ(::poll(&poll, 1, 10'000), 1);
  EXPECT_EQ(status_of(*child), 0);
}

TEST_F(RealProcess, AFailedExecLeavesNoChild) {
  const Group group = made("run");
  const auto missing = process::start(group, Command{{"no-such-program"}, nullptr});
  ASSERT_FALSE(missing);
  EXPECT_STREQ(missing.error().operation, "execute");
  EXPECT_EQ(missing.error().os_errno, ENOENT);
  const std::string file = files_ / "no-program";
  test::put_file(file, "");
  const auto denied = process::start(group, Command{{file}, nullptr});
  ASSERT_FALSE(denied);
  EXPECT_EQ(denied.error().os_errno, EACCES);
  EXPECT_TRUE(test::fails(process::start(group, Command{}), errc::invalid_argument));
  EXPECT_EQ(::waitpid(-1, nullptr, WNOHANG), -1) << "no child is left to wait for";
  EXPECT_EQ(errno, ECHILD);
  EXPECT_TRUE(must(group.processes()).empty());
}

TEST_F(RealProcess, ARemovedCgroupAcceptsNoProcess) {
  const Group group = made("run");
  ASSERT_TRUE(ok(group.remove()));
  EXPECT_TRUE(test::fails(process::start(group, Command{{"true"}, nullptr}), errc::vanished));
}

TEST_F(RealProcess, ARealTimeCallerGetsAHintAboutTheBudget) {
  const Hierarchy* const cpu = host().find("cpu");
  if (cpu == nullptr || cpu->version == Version::v2) {
    GTEST_SKIP() << "needs real-time budgets of v1";
  }
  const Group group = made("run", {"cpu"});
  if (!group.read("cpu.rt_runtime_us")) return test::skip("the kernel lacks CONFIG_RT_GROUP_SCHED");
  EXPECT_EQ(test::in_child([&group]() -> std::string {
              sched_param parameter{};
              parameter.sched_priority = 1;
              if (::sched_setscheduler(0, SCHED_FIFO, &parameter) != 0) return "sched_setscheduler";
              const auto child = process::start(group, Command{{"true"}, nullptr});
              if (child) return "was started";
              const std::string message = child.error().message();
              return message.find("cpu.rt_runtime_us") == std::string::npos ? message : "";
            }),
            "");
}

TEST_F(RealProcess, AnEmptyCpusetIsExplained) {
  const Hierarchy* const cpuset = host().find("cpuset");
  if (cpuset == nullptr || cpuset->version == Version::v2) {
    GTEST_SKIP() << "on v2 a cpuset without CPUs uses its parent's";
  }
  const Group group = made("run", {"memory", "cpuset"});
  const auto child = process::start(group, Command{{"true"}, nullptr});
  ASSERT_FALSE(child);
  EXPECT_THAT(child.error().message(), HasSubstr("cpuset.cpus or cpuset.mems"));
  EXPECT_TRUE(must(group.processes()).empty());
}

TEST_F(RealProcess, NoDescriptorOfTheLibraryReachesTheProgram) {
  const Group group = made("run");
  const std::string count = "ls /proc/self/fd | wc -l";
  const std::string inside = output(group, count);
  const std::string file = files_ / "outside";
  ASSERT_EQ(std::system((count + " >" + file).c_str()), 0);
  EXPECT_EQ(inside, test::file_text(file));
}

TEST_F(RealProcess, HandledSignalsAreDefaultAndTheMaskIsTheGivenOne) {
  const Group group = made("run");
  EXPECT_EQ(test::in_child([this, &group]() -> std::string {
              ::signal(SIGUSR1, [](int) {});
              ::signal(SIGUSR2, SIG_IGN);
              sigset_t blocked;
              ::sigemptyset(&blocked);
              ::sigaddset(&blocked, SIGHUP);
              const std::string file = files_ / "status";
              const std::string script = "exec cat /proc/self/status >" + file;
              const auto child = process::start(group, Command{{"sh", "-c", script}, &blocked});
              if (!child) return child.error().message();
              ::waitpid(child->pid, nullptr, 0);
              std::istringstream lines(test::file_text(file));
              std::string found;
              for (std::string line; std::getline(lines, line);) {
                const std::string name = line.substr(0, 6);
                if (name == "SigBlk" || name == "SigIgn" || name == "SigCgt") found += line + "\n";
              }
              const std::string wanted =
                  "SigBlk:\t0000000000000001\nSigIgn:\t0000000000000800\n"
                  "SigCgt:\t0000000000000000\n";
              return found == wanted ? "" : found;
            }),
            "");
}

TEST_F(RealProcess, ManyThreadsStartAtTheSameTime) {
  const Group group = made("run");
  std::atomic<unsigned> right = 0;
  std::vector<std::thread> threads;
  for (int i = 0; i < 4; ++i) {
    threads.emplace_back([&group, &right] {
      for (int round = 0; round < 25; ++round) {
        const auto child = process::start(group, Command{{"sh", "-c", "exit 7"}, nullptr});
        int status = 0;
        if (child && ::waitpid(child->pid, &status, 0) == child->pid && WEXITSTATUS(status) == 7) {
          ++right;
        }
      }
    });
  }
  for (std::thread& thread : threads) thread.join();
  EXPECT_EQ(right, 100U);
}

/// Starts a process in a cgroup where nothing can run, and cancels the start after 200 ms. Returns
/// the error.
Error given_up(const Group& group) {
  const UniqueFd stop(::eventfd(0, EFD_CLOEXEC));
  std::thread giving_up([&stop] {
    std::this_thread::sleep_for(std::chrono::milliseconds(200));
    const std::uint64_t one = 1;
    (void)!::write(stop.get(), &one, sizeof one);
  });
  const auto child = process::start(group, Command{{"true"}, nullptr, stop.get()});
  giving_up.join();
  return child ? Error{} : child.error();
}

TEST_F(RealProcess, AStartInAFrozenCgroupOfV1CanBeCancelled) {
  const Hierarchy* const freezer = host().find("freezer");
  if (freezer == nullptr || freezer->version == Version::v2) GTEST_SKIP() << "no freezer on v1";
  const Group group = made("run", {"freezer"});
  ASSERT_TRUE(ok(group.write("freezer.state", "FROZEN")));
  const Error error = given_up(group);
  EXPECT_EQ(error.kind, errc::cancelled) << error.message();
  EXPECT_THAT(error.message(), HasSubstr("frozen"));
  EXPECT_EQ(::waitpid(-1, nullptr, WNOHANG), -1) << "no child is left to wait for";
  EXPECT_TRUE(must(group.processes()).empty());
}

TEST_F(RealProcess, AStartInAFrozenCgroupOfV2CanBeCancelled) {
  const Hierarchy* const unified = host().unified();
  if (unified == nullptr) return test::skip("no v2 hierarchy");
  const Group group = made("run", {"cgroup"});
  if (!group.write("cgroup.freeze", "1")) return test::skip("no cgroup.freeze before Linux 5.2");
  EXPECT_EQ(given_up(group).kind, errc::cancelled);
  EXPECT_EQ(::waitpid(-1, nullptr, WNOHANG), -1) << "no child is left to wait for";
  EXPECT_TRUE(must(group.processes()).empty());
}

TEST_F(RealProcess, AStopDescriptorWithoutInputStopsNothing) {
  const Group group = made("run");
  const UniqueFd stop(::eventfd(0, EFD_CLOEXEC));
  const auto child = process::start(group, Command{{"true"}, nullptr, stop.get()});
  ASSERT_TRUE(ok(child));
  EXPECT_EQ(status_of(*child), 0);
}

}  // namespace process_test
