// SPDX-FileCopyrightText: The cgctl authors
// SPDX-License-Identifier: MIT
#include "holds/sentinels.hpp"

#include <sched.h>
#include <signal.h>
#include <sys/prctl.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#include <cerrno>
#include <string>

#include "detail/blocked_signals.hpp"
#include "detail/wake_up_delay.hpp"

namespace cgctl::holds {
namespace {

constexpr std::size_t most_cpus = 8192;

bool pin_to(std::uint32_t cpu) noexcept {
  std::array<cpu_set_t, most_cpus / CPU_SETSIZE> mask{};
  if (cpu >= most_cpus) return false;
  CPU_SET_S(cpu, sizeof mask, mask.data());
  return ::sched_setaffinity(0, sizeof mask, mask.data()) == 0;
}

}  // namespace

/// The work of the child process, which makes system calls only.
void CpuSentinel::stand(std::uint32_t cpu, Time shortest, Notes& notes) noexcept {
  constexpr Time period = std::chrono::milliseconds(2);
  if (!pin_to(cpu)) return;
  (void)cgctl::detail::rise();
  timespec now{};
  ::clock_gettime(CLOCK_MONOTONIC, &now);
  Time due = std::chrono::seconds(now.tv_sec) + std::chrono::nanoseconds(now.tv_nsec);
  for (;;) {
    due += period;
    const Time late = cgctl::detail::sleep_until(due);
    if (late.count() > notes.longest.load(std::memory_order_relaxed)) {
      notes.longest.store(late.count(), std::memory_order_relaxed);
    }
    if (late >= shortest) {
      const std::uint32_t place = notes.written.load(std::memory_order_relaxed);
      notes.delays[place % most_notes] = {due, due + late};
      notes.written.store(place + 1, std::memory_order_release);
    }
    due += late;
  }
}

Result<CpuSentinel> CpuSentinel::post(std::uint32_t cpu, Time shortest) {
  CpuSentinel sentinel;
  sentinel.notes_ = std::make_unique<cgctl::detail::SharedMemory<Notes>>();
  const std::string shown = "CPU " + std::to_string(cpu);
  if (sentinel.notes_->get() == nullptr) return fail(Error::system("watch", shown, ENOMEM));
  const cgctl::detail::BlockedSignals blocked;
  const pid_t parent = ::getpid();
  const pid_t child = ::fork();
  if (child < 0) return fail(Error::system("watch", shown, errno));
  if (child == 0) {
    ::prctl(PR_SET_PDEATHSIG, SIGKILL);
    if (::getppid() == parent) stand(cpu, shortest, *sentinel.notes_->get());
    ::_exit(0);
  }
  sentinel.child_ = child;
  return sentinel;
}

CpuSentinel::~CpuSentinel() {
  if (child_ <= 0) return;
  ::kill(child_, SIGKILL);
  while (::waitpid(child_, nullptr, 0) < 0 && errno == EINTR) {
  }
}

}  // namespace cgctl::holds
