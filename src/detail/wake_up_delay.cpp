// SPDX-FileCopyrightText: The cgctl authors
// SPDX-License-Identifier: MIT
#include "detail/wake_up_delay.hpp"

#include <signal.h>
#include <sys/prctl.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#include <algorithm>
#include <atomic>
#include <cerrno>
#include <string>
#include <utility>

#include "detail/blocked_signals.hpp"
#include "detail/shared_memory.hpp"

namespace cgctl::detail {
namespace {

using std::chrono::nanoseconds;
using std::chrono::seconds;

constexpr nanoseconds period = std::chrono::microseconds(200);

nanoseconds monotonic() noexcept {
  timespec now{};
  ::clock_gettime(CLOCK_MONOTONIC, &now);
  return seconds(now.tv_sec) + nanoseconds(now.tv_nsec);
}

/// The memory that both processes use.
struct Watch {
  std::atomic<bool> posted{false};
  std::atomic<bool> relieved{false};
  WakeUpDelay found;
};

/// The work of the child process: makes system calls only.
void stand_watch(Watch& watch) noexcept {
  watch.found.scheduling = rise();
  nanoseconds next = monotonic() + period;
  sleep_until(next);
  watch.posted = true;
  while (!watch.relieved) {
    next = std::max(next + period, monotonic() + period / 2);
    watch.found.worst = std::max(watch.found.worst, sleep_until(next));
    ++watch.found.wake_ups;
  }
}

/// Starts the child process, which inherits the affinity of this thread. Returns a negated errno if
/// that fails.
pid_t post(Watch& watch) noexcept {
  const BlockedSignals blocked;
  const pid_t parent = ::getpid();
  const pid_t child = ::fork();
  if (child != 0) return child < 0 ? -errno : child;
  ::prctl(PR_SET_PDEATHSIG, SIGKILL);
  if (::getppid() == parent) stand_watch(watch);
  ::_exit(0);
}

/// Waits until the child is ready. Returns false if it died.
bool is_posted(const Watch& watch, pid_t child) noexcept {
  while (!watch.posted) {
    if (::waitpid(child, nullptr, WNOHANG) != 0) return false;
    sleep_until(monotonic() + period);
  }
  return true;
}

}  // namespace

nanoseconds sleep_until(nanoseconds deadline) noexcept {
  const auto whole = std::chrono::duration_cast<seconds>(deadline);
  timespec until{};
  // Both members have 32 bits on some machines.
  until.tv_sec = static_cast<decltype(until.tv_sec)>(whole.count());
  until.tv_nsec = static_cast<decltype(until.tv_nsec)>((deadline - whole).count());
  while (::clock_nanosleep(CLOCK_MONOTONIC, TIMER_ABSTIME, &until, nullptr) == EINTR) {
  }
  return std::max(monotonic() - deadline, nanoseconds::zero());
}

SentinelClass rise() noexcept {
  // A sleeper of the ordinary class is woken up to 50 us late by intent (prctl(2)).
  ::prctl(PR_SET_TIMERSLACK, 1UL);
  const sched_param lowest{1};
  return ::sched_setscheduler(0, SCHED_FIFO, &lowest) == 0 ? SentinelClass::fifo
                                                           : SentinelClass::ordinary;
}

std::string_view to_string(SentinelClass scheduling) noexcept {
  return scheduling == SentinelClass::fifo ? "SCHED_FIFO" : "SCHED_OTHER";
}

std::optional<std::chrono::nanoseconds> delay_of_others(
    std::chrono::nanoseconds worst, SentinelClass scheduling, std::chrono::nanoseconds read,
    std::chrono::nanoseconds harmless) noexcept {
  if (scheduling == SentinelClass::ordinary && worst > harmless) return std::nullopt;
  return std::min(worst, read);
}

Result<Sentinel::CpuMask> Sentinel::allowed_cpus() {
  constexpr std::size_t largest = 64;
  for (CpuMask mask(1);; mask.resize(mask.size() * 2)) {
    if (::sched_getaffinity(0, mask.size() * sizeof(cpu_set_t), mask.data()) == 0) return mask;
    if (errno != EINVAL || mask.size() == largest) {
      return fail(Error::system("get affinity", {}, errno));
    }
  }
}

int Sentinel::pin_to(int cpu, std::size_t mask_size) {
  CpuMask one(mask_size);
  const std::size_t bytes = mask_size * sizeof(cpu_set_t);
  CPU_SET_S(static_cast<std::size_t>(cpu), bytes, one.data());
  return ::sched_setaffinity(0, bytes, one.data()) == 0 ? 0 : errno;
}

Result<Sentinel> Sentinel::on_this_cpu() {
  auto before = allowed_cpus();
  if (!before) return fail(before.error());
  const int cpu = ::sched_getcpu();
  if (cpu < 0) return fail(Error::system("get cpu", {}, errno));
  if (const int error = pin_to(cpu, before->size()); error != 0) {
    return fail(Error::system("set affinity", "CPU " + std::to_string(cpu), error));
  }
  return Sentinel(cpu, std::move(*before));
}

Sentinel::~Sentinel() {
  if (before_.empty()) return;
  ::sched_setaffinity(0, before_.size() * sizeof(cpu_set_t), before_.data());
}

Result<WakeUpDelay> Sentinel::watch(const std::function<void()>& work) const {
  constexpr const char* what = "watch a CPU";
  const SharedMemory<Watch> shared;
  if (shared.get() == nullptr) return fail(Error::system(what, {}, errno));
  Watch& watch = *shared.get();
  const pid_t child = post(watch);
  if (child < 0) return fail(Error::system(what, {}, -child));
  if (!is_posted(watch, child)) return fail(Error::system(what, {}, ECHILD));
  const nanoseconds start = monotonic();
  work();
  const nanoseconds duration = monotonic() - start;
  watch.relieved = true;
  while (::waitpid(child, nullptr, 0) < 0 && errno == EINTR) {
  }
  WakeUpDelay delay = watch.found;
  delay.duration = duration;
  return delay;
}

}  // namespace cgctl::detail
