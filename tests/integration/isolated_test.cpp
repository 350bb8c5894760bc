// SPDX-FileCopyrightText: The cgctl authors
// SPDX-License-Identifier: MIT
#include "detail/isolated.hpp"

#include <fcntl.h>
#include <gtest/gtest.h>
#include <signal.h>
#include <sys/mman.h>
#include <sys/wait.h>
#include <unistd.h>

#include <array>
#include <atomic>
#include <cerrno>
#include <chrono>
#include <new>
#include <string>
#include <thread>

#include "../support/child.hpp"
#include "cgctl/filesystem.hpp"

namespace isolated_test {

using namespace cgctl;
using namespace std::chrono_literals;
using detail::run_isolated;

/// Passes a process id from a child process to its parent.
class SharedPid {
 public:
  SharedPid()
      : memory_(::mmap(nullptr, sizeof(std::atomic<pid_t>), PROT_READ | PROT_WRITE,
                       MAP_SHARED | MAP_ANONYMOUS, -1, 0)),
        pid_(new (memory_) std::atomic<pid_t>(0)) {}
  SharedPid(const SharedPid&) = delete;
  SharedPid& operator=(const SharedPid&) = delete;
  ~SharedPid() { ::munmap(memory_, sizeof(std::atomic<pid_t>)); }
  std::atomic<pid_t>& operator*() const { return *pid_; }

 private:
  void* memory_;
  std::atomic<pid_t>* pid_;
};

void expect_no_child() {
  EXPECT_EQ(::waitpid(-1, nullptr, WNOHANG), -1);
  EXPECT_EQ(errno, ECHILD);
}

TEST(RunIsolated, GivesTheTimeThatTheWorkTook) {
  const SharedPid pid;
  const auto took = run_isolated(
      [&] {
        *pid = ::getpid();
        ::usleep(20'000);
        return 0;
      },
      {60s, -1, "try", "/path"});
  ASSERT_TRUE(took) << took.error().message();
  EXPECT_GE(*took, 20ms);
  EXPECT_NE(*pid, 0);
  EXPECT_NE(*pid, ::getpid()) << "in a process of its own";
  expect_no_child();
}

TEST(RunIsolated, ReturnsTheErrnoOfTheWork) {
  const auto took = run_isolated([] { return EBUSY; }, {60s, -1, "try", "/path"});
  ASSERT_FALSE(took);
  EXPECT_EQ(took.error().kind, errc::system);
  EXPECT_EQ(took.error().os_errno, EBUSY);
  EXPECT_EQ(took.error().message(), "try /path: Device or resource busy");
  expect_no_child();
}

TEST(RunIsolated, KillsTheWorkAtTheDeadline) {
  const SharedPid pid;
  const auto took = run_isolated(
      [&] {
        *pid = ::getpid();
        for (;;) ::pause();
        return 0;
      },
      {300ms, -1, "try", "/path"});
  ASSERT_FALSE(took);
  EXPECT_EQ(took.error().kind, errc::timed_out);
  EXPECT_NE(took.error().message().find("300 ms"), std::string::npos) << took.error().message();
  ASSERT_NE(*pid, 0);
  EXPECT_EQ(::kill(*pid, 0), -1);
  EXPECT_EQ(errno, ESRCH);
  expect_no_child();
}

TEST(RunIsolated, KillsWorkThatIgnoresSignals) {
  const SharedPid pid;
  const auto took = run_isolated(
      [&] {
        sigset_t all;
        sigfillset(&all);
        ::sigprocmask(SIG_BLOCK, &all, nullptr);
        *pid = ::getpid();
        for (;;) ::pause();
        return 0;
      },
      {300ms, -1, "try", "/path"});
  ASSERT_FALSE(took);
  EXPECT_EQ(took.error().kind, errc::timed_out);
  EXPECT_EQ(::kill(*pid, 0), -1);
  expect_no_child();
}

TEST(RunIsolated, StopsTheWorkOnRequest) {
  const SharedPid pid;
  std::array<int, 2> stop{};
  ASSERT_EQ(::pipe2(stop.data(), O_CLOEXEC), 0);
  std::thread teller([&] {
    std::this_thread::sleep_for(100ms);
    EXPECT_EQ(::write(stop[1], "", 1), 1);
  });
  const auto took = run_isolated(
      [&] {
        *pid = ::getpid();
        for (;;) ::pause();
        return 0;
      },
      {60s, stop[0], "try", "/path"});
  teller.join();
  ASSERT_FALSE(took);
  EXPECT_EQ(took.error().kind, errc::cancelled);
  EXPECT_EQ(::kill(*pid, 0), -1);
  expect_no_child();
  ::close(stop[0]);
  ::close(stop[1]);
}

TEST(RunIsolated, TheWorkDoesNotOutliveAKilledCaller) {
  const SharedPid pid;
  const pid_t caller = ::fork();
  if (caller == 0) {
    (void)run_isolated(
        [&] {
          *pid = ::getpid();
          for (;;) ::pause();
          return 0;
        },
        {60s, -1, "try", "/path"});
    ::_exit(0);
  }
  while (*pid == 0) std::this_thread::sleep_for(1ms);
  ASSERT_EQ(::kill(caller, SIGKILL), 0);
  ASSERT_EQ(::waitpid(caller, nullptr, 0), caller);
  // The process that reaps orphans may need a moment.
  const auto give_up = std::chrono::steady_clock::now() + 10s;
  const auto gone = [&] {
    const auto state = fs::read_trusted("/proc/" + std::to_string(*pid) + "/stat");
    return !state || state->find(") Z ") != std::string::npos;
  };
  while (!gone() && std::chrono::steady_clock::now() < give_up) std::this_thread::sleep_for(1ms);
  EXPECT_TRUE(gone());
}

TEST(RunIsolated, SaysThatTheChildDiedWithoutAnAnswer) {
  for (const bool by_signal : {true, false}) {
    const auto took = run_isolated(
        [by_signal] {
          if (by_signal) ::raise(SIGKILL);
          ::_exit(0);
          return 0;
        },
        {60s, -1, "try", "/path"});
    ASSERT_FALSE(took);
    EXPECT_EQ(took.error().kind, errc::system);
    EXPECT_NE(took.error().message().find("died without an answer"), std::string::npos);
    expect_no_child();
  }
}

TEST(RunIsolated, LeavesOtherChildrenOfTheCallerAlone) {
  const pid_t other = ::fork();
  if (other == 0) ::_exit(7);
  EXPECT_TRUE(run_isolated([] { return 0; }, {60s, -1, "try", "/path"}));
  int status = 0;
  ASSERT_EQ(::waitpid(other, &status, 0), other);
  EXPECT_EQ(WEXITSTATUS(status), 7);
}

TEST(RunIsolated, WorksForACallerWhoIgnoresItsChildren) {
  EXPECT_EQ(test::in_child([]() -> std::string {
              ::signal(SIGCHLD, SIG_IGN);
              const auto failed = run_isolated([] { return EBUSY; }, {60s, -1, "try", "/path"});
              if (failed || failed.error().os_errno != EBUSY) return "the errno is lost";
              const auto late = run_isolated(
                  [] {
                    for (;;) ::pause();
                    return 0;
                  },
                  {200ms, -1, "try", "/path"});
              return !late && late.error().kind == errc::timed_out ? "" : "the deadline is lost";
            }),
            "");
}

TEST(RunIsolated, SurvivesSignalsWhileItWaits) {
  EXPECT_EQ(test::in_child([]() -> std::string {
              struct sigaction action {};
              action.sa_handler = [](int) {};
              ::sigaction(SIGUSR1, &action, nullptr);
              const pid_t caller = ::getpid();
              const auto took = run_isolated(
                  [caller] {
                    for (int i = 0; i < 20; ++i) {
                      ::kill(caller, SIGUSR1);
                      ::usleep(5'000);
                    }
                    return 0;
                  },
                  {60s, -1, "try", "/path"});
              return took ? "" : took.error().message();
            }),
            "");
}

}  // namespace isolated_test
