// SPDX-FileCopyrightText: The cgctl authors
// SPDX-License-Identifier: MIT
#include "run/supervisor.hpp"

#include <fcntl.h>
#include <poll.h>
#include <sys/wait.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <csignal>
#include <iterator>
#include <vector>

namespace cgctl::tool {
namespace {

/// Signals that are left alone: those of a process's own faults, and those that stop it in the
/// background of a terminal.
constexpr int left_alone[] = {SIGSEGV, SIGBUS,  SIGFPE,  SIGILL, SIGTRAP,
                              SIGSYS,  SIGABRT, SIGTTIN, SIGTTOU};

/// Signals that by default do not end a process, and SIGPIPE, which this process gets when nobody
/// reads its messages.
constexpr int harmless[] = {SIGCHLD, SIGCONT, SIGURG, SIGWINCH, SIGTSTP, SIGPIPE};

/// Longest wait after SIGKILL: a process that lives longer waits for a device.
constexpr std::chrono::seconds longest_death(5);

/// Number of consecutive failures to read a list after which it is given up.
constexpr int most_unread = 10;

bool is_ignored(int signal) {
  struct sigaction action {};
  return ::sigaction(signal, nullptr, &action) == 0 && action.sa_handler == SIG_IGN;
}

bool has_terminal() {
  return UniqueFd(::open("/dev/tty", O_RDONLY | O_CLOEXEC | O_NOCTTY)).get() >= 0;
}

}  // namespace

bool Supervisor::passes_on(int signal) noexcept {
  if (signal <= 0 || signal >= NSIG || signal == SIGKILL || signal == SIGSTOP) return false;
  if (signal == SIGCHLD || signal == SIGCONT) return false;
  return std::find(std::begin(left_alone), std::end(left_alone), signal) == std::end(left_alone);
}

Result<Supervisor> Supervisor::make(std::chrono::nanoseconds grace) {
  Supervisor supervisor;
  for (std::size_t i = 0; i < supervisor.rewritten_.size(); ++i) {
    supervisor.rewritten_[i] = static_cast<int>(i);
  }
  supervisor.grace_ = grace;
  supervisor.has_terminal_ = has_terminal();
  // If SIGCHLD is ignored, children leave no status.
  ::signal(SIGCHLD, SIG_DFL);
  sigset_t handled;
  ::sigfillset(&handled);
  for (const int signal : left_alone) ::sigdelset(&handled, signal);
  for (int signal = 1; signal < NSIG; ++signal) {
    if (is_ignored(signal)) ::sigdelset(&handled, signal);
  }
  if (::sigprocmask(SIG_BLOCK, &handled, &supervisor.before_) != 0) {
    return fail(Error::system("run", "signals", errno));
  }
  sigset_t ending = handled;
  for (const int signal : harmless) ::sigdelset(&ending, signal);
  supervisor.signals_.reset(::signalfd(-1, &handled, SFD_CLOEXEC | SFD_NONBLOCK));
  supervisor.stop_.reset(::signalfd(-1, &ending, SFD_CLOEXEC | SFD_NONBLOCK));
  if (!supervisor.signals_ || !supervisor.stop_) {
    return fail(Error::system("run", "signals", errno));
  }
  return supervisor;
}

std::optional<int> Supervisor::stopped_by() const {
  signalfd_siginfo signal{};
  if (::read(stop_.get(), &signal, sizeof signal) != sizeof signal) return std::nullopt;
  return static_cast<int>(signal.ssi_signo);
}

int Supervisor::wait_for(pid_t child, const std::function<void()>& kill) {
  child_ = child;
  for (bool killed = false;;) {
    reap();
    if (status_ >= 0) return status_;
    const auto now = Clock::now();
    if (now >= grace_ends_ && !killed) {
      kill();
      ::kill(child_, SIGKILL);
      killed = true;
    }
    const bool no_end = killed || grace_ends_ == Clock::time_point::max();
    wait(no_end ? std::chrono::hours(1) : grace_ends_ - now);
    take_signals();
  }
}

Status Supervisor::end(const Others& others) {
  std::vector<pid_t> asked;
  int unread = 0;
  grace_ends_ = std::min(grace_ends_, Clock::now() + grace_);
  const auto give_up = std::max(grace_ends_, Clock::now()) + longest_death;
  for (std::chrono::milliseconds pause(1);;
       pause = std::min(pause * 2, std::chrono::milliseconds(50))) {
    reap();
    const auto left = others.list();
    unread = left ? 0 : unread + 1;
    if (unread >= most_unread) return fail(left.error());
    if (left && left->empty()) return {};
    if (Clock::now() >= give_up) return {};
    if (Clock::now() >= grace_ends_) {
      others.kill();
    } else if (left) {
      for (const pid_t process : *left) {
        if (std::find(asked.begin(), asked.end(), process) != asked.end()) continue;
        ::kill(process, SIGTERM);
        ::kill(process, SIGCONT);
        asked.push_back(process);
      }
    }
    wait(pause);
    take_signals();
  }
}

void Supervisor::wait(std::chrono::nanoseconds at_most) const {
  const auto milliseconds = std::chrono::ceil<std::chrono::milliseconds>(at_most).count();
  pollfd poll{signals_.get(), POLLIN, 0};
  (void)::poll(&poll, 1, static_cast<int>(std::max<std::int64_t>(milliseconds, 0)));
}

void Supervisor::take_signals() {
  signalfd_siginfo signal{};
  while (::read(signals_.get(), &signal, sizeof signal) == sizeof signal) {
    if (signal.ssi_signo != SIGCHLD) pass_on(signal);
  }
}

/// True if the terminal has sent the signal to the child as well: it sends signals to its whole
/// foreground, except that only the session's leader gets SIGHUP.
bool Supervisor::child_has(const signalfd_siginfo& signal) const {
  if (signal.ssi_code != SI_KERNEL) return false;
  if (signal.ssi_signo == SIGHUP && ::getsid(0) == ::getpid()) return false;
  return ::getpgid(child_) == ::getpgrp();
}

void Supervisor::pass_on(const signalfd_siginfo& signal) {
  const int number = static_cast<int>(signal.ssi_signo);
  const int sent = rewritten_[signal.ssi_signo];
  const bool child_lives = status_ < 0;
  if (number == SIGCONT) {
    reap();
    if (child_lives && child_stopped_) ::kill(child_, SIGCONT);
    return;
  }
  // The child is stopped already: the terminal wants this process to stop as well.
  if (number == SIGTSTP && child_lives && child_stopped_) return stop_with_child();
  const bool own =
      signal.ssi_code == SI_USER && signal.ssi_pid == static_cast<unsigned>(::getpid());
  if (sent != 0 && child_lives && !own && !child_has(signal)) ::kill(child_, sent);
  if (sent == SIGTERM || (number == SIGTERM && sent != 0)) {
    grace_ends_ = child_lives ? std::min(grace_ends_, Clock::now() + grace_) : Clock::now();
  }
}

void Supervisor::reap() {
  int status = 0;
  for (;;) {
    const pid_t process = ::waitpid(-1, &status, WNOHANG | WUNTRACED | WCONTINUED);
    if (process <= 0) return;
    if (process != child_) continue;
    if (WIFEXITED(status)) status_ = WEXITSTATUS(status);
    if (WIFSIGNALED(status)) status_ = 128 + WTERMSIG(status);
    if (WIFCONTINUED(status)) child_stopped_ = false;
    if (WIFSTOPPED(status)) {
      child_stopped_ = true;
      const int by = WSTOPSIG(status);
      // SIGSTOP does not come from a terminal: its sender continues the child, not this process.
      if (by == SIGTSTP || by == SIGTTIN || by == SIGTTOU) stop_with_child();
    }
  }
}

/// Stops this process, so that its shell notices. Without a terminal nobody would continue it.
void Supervisor::stop_with_child() {
  if (has_terminal_) ::raise(SIGSTOP);
}

}  // namespace cgctl::tool
