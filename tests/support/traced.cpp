// SPDX-FileCopyrightText: The cgctl authors
// SPDX-License-Identifier: MIT
#include "traced.hpp"

#include <signal.h>
#include <sys/ptrace.h>
#include <sys/uio.h>
#include <sys/user.h>
#include <sys/wait.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <cerrno>
#include <cstdlib>
#include <functional>
#include <set>
#include <sstream>
#include <vector>

#include "child.hpp"

namespace cgctl::test {
namespace {

constexpr int at_call = SIGTRAP | 0x80;  // PTRACE_O_TRACESYSGOOD
constexpr unsigned patience = 120;       // seconds

void time_is_up(int /*signal*/) {}

#ifdef __x86_64__
extern "C" const char __executable_start;  // of the linker
extern "C" const char etext;

/// True if a call instruction of this program ends before `address`.
bool follows_a_call(std::uint64_t address) {
  constexpr std::uint64_t longest = 7;
  constexpr unsigned char direct = 0xe8;
  constexpr unsigned char indirect = 0xff;
  const auto first = reinterpret_cast<std::uint64_t>(&__executable_start) + longest;
  if (address < first || address >= reinterpret_cast<std::uint64_t>(&etext)) return false;
  const auto* const code = reinterpret_cast<const unsigned char*>(address);
  return code[-5] == direct || code[-2] == indirect || code[-3] == indirect ||
         code[-6] == indirect || code[-7] == indirect;
}

/// Returns Traced::site of the call that the process is about to make.
std::uint64_t site_of(pid_t process) {
  constexpr std::size_t deep = 256;
  constexpr unsigned most = 6;
  user_regs_struct registers{};
  if (::ptrace(PTRACE_GETREGS, process, nullptr, &registers) != 0) return 0;
  std::array<std::uint64_t, deep> stack{};
  const iovec here{stack.data(), sizeof stack};
  const iovec there{reinterpret_cast<void*>(registers.rsp), sizeof stack};
  const ssize_t got = ::process_vm_readv(process, &here, 1, &there, 1, 0);
  std::string place = std::to_string(registers.orig_rax) + " " + std::to_string(registers.rip);
  unsigned callers = 0;
  for (std::size_t i = 0; got > 0 && i < static_cast<std::size_t>(got) / sizeof stack[0]; ++i) {
    if (callers == most || !follows_a_call(stack[i])) continue;
    place.append(1, ' ').append(std::to_string(stack[i]));
    ++callers;
  }
  return std::max<std::uint64_t>(std::hash<std::string>()(place), 1);
}
#else
std::uint64_t site_of(pid_t /*process*/) { return 0; }
#endif

/// Follows a process and those that it starts, from system call to system call.
class Tracer {
 public:
  explicit Tracer(const Kill& kill) : kill_(kill) {}

  /// Traces until all have ended. Returns "CALLS KILLED_AT SITE", or why that failed.
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
    return std::to_string(calls_) + " " + std::to_string(killed_at_) + " " + std::to_string(site_);
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
      if (killed_at_ == 0 && is_wanted(process)) {
        killed_at_ = calls_;
        ::kill(process, SIGKILL);
      }
    }
    go_on(process, 0);
  }

  /// True if this call is the one to kill at.
  bool is_wanted(pid_t process) {
    if (kill_.done == nullptr) return calls_ == kill_.call;
    site_ = site_of(process);
    return kill_.done->count(site_) == 0;
  }

  Kill kill_;
  unsigned calls_ = 0;
  unsigned killed_at_ = 0;
  std::uint64_t site_ = 0;
  std::vector<pid_t> inside_;  // those in a system call
};

std::string trace(const std::function<void()>& work, const Kill& kill) {
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
  return Tracer(kill).follow(first);
}

/// Returns the value of CGCTL_KILL_EVERY; empty without it.
std::string told() {
  const char* const value = std::getenv("CGCTL_KILL_EVERY");
  return value == nullptr ? "" : value;
}

/// Returns the step from one killed call to the next.
unsigned kill_every(unsigned calls) {
  constexpr unsigned sample = 3;
  const std::string value = told();
  const auto every = value.empty()
                         ? calls / sample
                         : static_cast<unsigned>(std::strtoul(value.c_str(), nullptr, 10));
  return std::max(every, 1U);
}

/// Kills at each place in the program once. Returns how many runs were killed.
unsigned kill_at_each_place(const std::function<Traced(const Kill& kill)>& round) {
  std::set<std::uint64_t> done;
  for (;;) {
    const Traced run = round({0, &done});
    if (!run.trouble.empty() || !run.killed || !done.insert(run.site).second) break;
  }
  return static_cast<unsigned>(done.size());
}

}  // namespace

Traced run_traced(const std::function<void()>& work, const Kill& kill) {
  // A process of its own waits for all its children, and the caller's are not among them.
  const std::string said = in_child([&] { return trace(work, kill); });
  Traced result;
  std::istringstream in(said);
  if (!(in >> result.calls >> result.killed_at >> result.site)) result.trouble = said;
  result.killed = result.killed_at != 0;
  return result;
}

unsigned kill_in_turn(const std::function<Traced(const Kill& kill)>& round) {
  if (told() == "place") return kill_at_each_place(round);
  constexpr unsigned attempts = 5;
  Traced run = round({});
  unsigned kills = 0;
  for (unsigned i = 0; kills < 2 && i < attempts; ++i) {
    const unsigned every = kill_every(run.calls);
    kills = 0;
    for (unsigned at = 1; run.trouble.empty(); at += every) {
      run = round({at, nullptr});
      if (!run.killed) break;
      ++kills;
    }
  }
  return kills;
}

}  // namespace cgctl::test
