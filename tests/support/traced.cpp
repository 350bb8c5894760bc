// SPDX-FileCopyrightText: The cgctl authors
// SPDX-License-Identifier: MIT
#include "traced.hpp"

#include <signal.h>
#include <sys/ptrace.h>
#include <sys/wait.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <cstdlib>
#include <sstream>
#include <vector>

#include "child.hpp"

namespace cgctl::test {
namespace {

constexpr int at_call = SIGTRAP | 0x80;  // PTRACE_O_TRACESYSGOOD
constexpr unsigned patience = 120;       // seconds

void time_is_up(int /*signal*/) {}

/// Follows a process and those that it starts, from system call to system call.
class Tracer {
 public:
  explicit Tracer(unsigned at) : at_(at) {}

  /// Traces until all have ended. Returns "CALLS KILLED", or why that failed.
  std::string follow(pid_t first) {
    constexpr long options = PTRACE_O_TRACESYSGOOD | PTRACE_O_TRACEFORK | PTRACE_O_TRACEVFORK |
                             PTRACE_O_TRACECLONE | PTRACE_O_EXITKILL;
    int status = 0;
    if (::waitpid(first, &status, 0) != first || !WIFSTOPPED(status)) return "it did not start";
    if (::ptrace(PTRACE_SETOPTIONS, first, nullptr, options) != 0) return "it cannot be traced";
    go_on(first, 0);
    for (;;) {
      const pid_t process = ::waitpid(-1, &status, __WALL);
      if (process < 0 && errno == ECHILD) break;
      if (process < 0) return "a process does not end";
      if (WIFSTOPPED(status)) stopped(process, status);
    }
    return std::to_string(calls_) + (killed_ ? " 1" : " 0");
  }

 private:
  static void go_on(pid_t process, int signal) {
    ::ptrace(PTRACE_SYSCALL, process, nullptr, static_cast<long>(signal));
  }

  void stopped(pid_t process, int status) {
    const int signal = WSTOPSIG(status);
    if (signal == at_call) return at_call_of(process);
    // A new process begins with SIGSTOP; other stops without a signal tell of new processes.
    const bool its_own = status >> 16 == 0 && signal != SIGSTOP;
    go_on(process, its_own ? signal : 0);
  }

  void at_call_of(pid_t process) {
    const auto inside = std::find(inside_.begin(), inside_.end(), process);
    if (inside != inside_.end()) {
      inside_.erase(inside);
    } else {
      inside_.push_back(process);
      ++calls_;
      if (calls_ == at_) {
        killed_ = true;
        ::kill(process, SIGKILL);
      }
    }
    go_on(process, 0);
  }

  unsigned at_;
  unsigned calls_ = 0;
  bool killed_ = false;
  std::vector<pid_t> inside_;  // those in a system call
};

std::string trace(const std::function<void()>& work, unsigned at) {
  const pid_t first = ::fork();
  if (first < 0) return "fork failed";
  if (first == 0) {
    ::ptrace(PTRACE_TRACEME, 0, nullptr, nullptr);
    ::raise(SIGSTOP);
    work();
    ::_exit(0);
  }
  struct ::sigaction action {};
  action.sa_handler = time_is_up;
  ::sigaction(SIGALRM, &action, nullptr);
  ::alarm(patience);
  return Tracer(at).follow(first);
}

/// Returns the step from one killed call to the next.
unsigned kill_every(unsigned calls) {
  const char* const told = std::getenv("CGCTL_KILL_EVERY");
  constexpr unsigned sample = 3;
  const auto every =
      told == nullptr ? calls / sample : static_cast<unsigned>(std::strtoul(told, nullptr, 10));
  return std::max(every, 1U);
}

}  // namespace

Traced run_traced(const std::function<void()>& work, unsigned at) {
  // A process of its own waits for all its children, and the caller's are not among them.
  const std::string said = in_child([&] { return trace(work, at); });
  Traced result;
  std::istringstream in(said);
  if (!(in >> result.calls >> result.killed)) result.trouble = said;
  return result;
}

unsigned kill_in_turn(const std::function<Traced(unsigned at)>& round) {
  constexpr unsigned attempts = 5;
  Traced run = round(0);
  unsigned kills = 0;
  for (unsigned i = 0; kills < 2 && i < attempts; ++i) {
    const unsigned every = kill_every(run.calls);
    kills = 0;
    for (unsigned at = 1; run.trouble.empty(); at += every) {
      run = round(at);
      if (!run.killed) break;
      ++kills;
    }
  }
  return kills;
}

}  // namespace cgctl::test
