// SPDX-FileCopyrightText: The cgctl authors
// SPDX-License-Identifier: MIT
#include "doctor/wake_up_delay.hpp"

#include <sys/prctl.h>
#include <time.h>

#include <algorithm>
#include <atomic>
#include <cerrno>
#include <future>
#include <string>
#include <system_error>
#include <thread>
#include <utility>

#include "cli/timespec.hpp"

namespace cgctl::tool {
namespace {

using std::chrono::nanoseconds;
using std::chrono::seconds;

constexpr nanoseconds period = std::chrono::microseconds(200);

nanoseconds monotonic() noexcept {
  timespec now{};
  ::clock_gettime(CLOCK_MONOTONIC, &now);
  return seconds(now.tv_sec) + nanoseconds(now.tv_nsec);
}

/// Sleeps until `deadline`; returns how late the thread woke up.
nanoseconds sleep_until(nanoseconds deadline) noexcept {
  const timespec until = to_timespec(deadline);
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

/// The other thread and its findings.
class Watchman {
 public:
  Watchman() : thread_([this] { stand_watch(); }) { posted_.get_future().wait(); }
  Watchman(const Watchman&) = delete;
  Watchman& operator=(const Watchman&) = delete;
  ~Watchman() { relieve(); }

  void relieve() {
    relieved_ = true;
    if (thread_.joinable()) thread_.join();
  }
  /// Returns the findings; to be called after relieve().
  [[nodiscard]] const WakeUpDelay& found() const noexcept { return found_; }

 private:
  void stand_watch() {
    found_.scheduling = rise();
    nanoseconds next = monotonic() + period;
    sleep_until(next);
    posted_.set_value();
    while (!relieved_) {
      next = std::max(next + period, monotonic() + period / 2);
      found_.worst = std::max(found_.worst, sleep_until(next));
      ++found_.wake_ups;
    }
  }

  WakeUpDelay found_;
  std::promise<void> posted_;
  std::atomic<bool> relieved_{false};
  std::thread thread_;  // must be last: it uses the other members
};

}  // namespace

std::string_view to_string(SentinelClass scheduling) noexcept {
  return scheduling == SentinelClass::fifo ? "SCHED_FIFO" : "SCHED_OTHER";
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
  try {
    // A new thread inherits the affinity of the thread that starts it.
    Watchman watchman;
    const nanoseconds start = monotonic();
    work();
    const nanoseconds duration = monotonic() - start;
    watchman.relieve();
    WakeUpDelay delay = watchman.found();
    delay.duration = duration;
    return delay;
  } catch (const std::system_error& error) {
    return fail(Error::system("start a thread", {}, error.code().value()));
  }
}

}  // namespace cgctl::tool
