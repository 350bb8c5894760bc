// SPDX-FileCopyrightText: The cgctl authors
// SPDX-License-Identifier: MIT
#include "cgctl/holds.hpp"

#include <fcntl.h>
#include <gtest/gtest.h>
#include <sched.h>
#include <sys/mman.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#include <chrono>
#include <string>
#include <thread>
#include <vector>

#include "../support/child.hpp"
#include "../support/result.hpp"
#include "../support/skip.hpp"

namespace holds_real_test {

using namespace cgctl;
using namespace std::chrono_literals;
using holds::Hold;
using holds::Time;
using holds::Watch;

Time cpu_time() {
  timespec used{};
  ::clock_gettime(CLOCK_THREAD_CPUTIME_ID, &used);
  return std::chrono::seconds(used.tv_sec) + std::chrono::nanoseconds(used.tv_nsec);
}

/// Memory that a child fills.
struct Report {
  Time total{};
  int cpu = 0;
};

/// Holds its CPU in one system call, as long as the kernel takes to fill the memory with zeros.
void hold_cpu(Report& report, unsigned times) {
  constexpr std::size_t size = 96U << 20U;
  void* const memory = ::mmap(nullptr, size, PROT_READ | PROT_WRITE,
                              MAP_PRIVATE | MAP_ANONYMOUS | MAP_POPULATE, -1, 0);
  const int zeros = ::open("/dev/zero", O_RDONLY);
  report.cpu = ::sched_getcpu();
  cpu_set_t one;
  CPU_ZERO(&one);
  CPU_SET(static_cast<std::size_t>(report.cpu), &one);
  ::sched_setaffinity(0, sizeof one, &one);
  const sched_param above{1};
  ::sched_setscheduler(0, SCHED_FIFO, &above);
  for (unsigned i = 0; i < times; ++i) {
    ::usleep(30000);
    const Time before = cpu_time();
    if (::read(zeros, memory, size) < 0) return;
    report.total += cpu_time() - before;
  }
}

Result<Watch> start() {
  const auto host = Host::detect();
  if (!host) return fail(host.error());
  holds::Settings settings;
  settings.shortest = settings.interval;  // so that a hold that others interrupt counts in parts
  return Watch::start(*host, settings);
}

TEST(RealHolds, NameTheTaskItsCallItsFileItsCpuAndItsTime) {
  if (!test::is_root()) return test::skip("sampling the CPUs needs root");
  auto watch = start();
  ASSERT_TRUE(test::ok(watch));
  if (watch->missing().sampling) return test::skip("this kernel cannot sample its CPUs");
  auto* const report = static_cast<Report*>(
      ::mmap(nullptr, sizeof(Report), PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0));
  const pid_t child = ::fork();
  if (child == 0) {
    hold_cpu(*report, 8);
    ::_exit(0);
  }
  std::vector<Hold> held;
  Hold hold;
  const auto poll = [&] {
    watch->poll();
    while (watch->next(hold)) {
      if (hold.task.pid == child && hold.task.call.view() == "read") held.push_back(hold);
    }
  };
  while (::waitpid(child, nullptr, WNOHANG) == 0) {
    std::this_thread::sleep_for(50ms);
    poll();
  }
  watch->stop();
  poll();
  Time total{};
  for (const Hold& one : held) {
    total += one.length();
    EXPECT_EQ(static_cast<int>(one.cpu), report->cpu);
    EXPECT_EQ(one.task.cause, holds::Cause::other);
  }
  ASSERT_FALSE(held.empty());
  EXPECT_EQ(held.front().task.file.view(), "/dev/zero");
  auto totals = watch->totals();
  watch->name_functions(held, totals);
  EXPECT_FALSE(held.front().task.function.empty());
  EXPECT_FALSE(held.front().task.comm.empty());
  EXPECT_FALSE(held.front().task.cgroup.empty());
  // Each hold is accurate to one interval.
  const double share =
      static_cast<double>(total.count()) / static_cast<double>(report->total.count());
  EXPECT_NEAR(share, 1.0, 0.1) << held.size() << " holds, measured " << report->total.count();
  ::munmap(report, sizeof(Report));
}

TEST(RealHolds, SayWhyThereAreNoneIfSamplingIsRefused) {
  const std::string complaint = test::in_child([]() -> std::string {
    test::refuse_call(SYS_perf_event_open, EACCES);
    auto watch = start();
    if (!watch) return watch.error().message();
    const auto& missing = watch->missing().sampling;
    if (!missing) return "sampling is not said to be missing";
    if (missing->os_errno != EACCES || missing->hint.empty()) return missing->message();
    watch->poll();
    watch->stop();
    Hold hold;
    return watch->next(hold) ? "there is a hold" : "";
  });
  EXPECT_EQ(complaint, "");
}

TEST(RealHolds, SayWhyThereIsLittleForAnOrdinaryUser) {
  if (!test::is_root()) return test::skip("needs root to become another user");
  const std::string complaint = test::in_child([]() -> std::string {
    constexpr uid_t nobody = 65534;
    if (::setresuid(nobody, nobody, nobody) != 0) return "cannot become another user";
    auto watch = start();
    if (!watch) return watch.error().message();
    const holds::Missing& missing = watch->missing();
    if (!missing.symbols || !missing.net_rx) return "something is there that should be missing";
    watch->poll();
    return missing.counters ? missing.counters->message() : "";
  });
  EXPECT_EQ(complaint, "");
}

}  // namespace holds_real_test
