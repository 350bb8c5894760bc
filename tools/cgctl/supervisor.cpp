// SPDX-FileCopyrightText: The cgctl authors
// SPDX-License-Identifier: MIT
#include "supervisor.hpp"

#include <fcntl.h>
#include <poll.h>
#include <sys/wait.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <csignal>
#include <vector>

namespace cgctl::tool {
namespace {

constexpr int passed_on[] = {SIGTERM, SIGINT,   SIGHUP,  SIGQUIT, SIGUSR1,
                             SIGUSR2, SIGWINCH, SIGTSTP, SIGCONT};

/// What SIGKILL does not end within this time waits for a device.
constexpr std::chrono::seconds longest_death(5);

bool is_ignored(int signal) {
  struct sigaction action {};
  return ::sigaction(signal, nullptr, &action) == 0 && action.sa_handler == SIG_IGN;
}

bool has_terminal() {
  return UniqueFd(::open("/dev/tty", O_RDONLY | O_CLOEXEC | O_NOCTTY)).get() >= 0;
}

}  // namespace

Result<Supervisor> Supervisor::make(std::chrono::nanoseconds grace) {
  Supervisor supervisor;
  supervisor.grace_ = grace;
  supervisor.has_terminal_ = has_terminal();
  sigset_t handled;
  ::sigemptyset(&handled);
  // Where SIGCHLD is ignored children leave no status.
  ::signal(SIGCHLD, SIG_DFL);
  ::sigaddset(&handled, SIGCHLD);
  for (const int signal : passed_on) {
    if (!is_ignored(signal)) ::sigaddset(&handled, signal);
  }
  if (::sigprocmask(SIG_BLOCK, &handled, &supervisor.before_) != 0) {
    return fail(Error::system("run", "signals", errno));
  }
  supervisor.signals_.reset(::signalfd(-1, &handled, SFD_CLOEXEC | SFD_NONBLOCK));
  if (!supervisor.signals_) return fail(Error::system("run", "signals", errno));
  return supervisor;
}

int Supervisor::wait_for(pid_t child, const std::function<void()>& kill) {
  child_ = child;
  for (;;) {
    reap();
    if (status_ >= 0) return status_;
    const auto now = Clock::now();
    if (now >= grace_ends_) {
      kill();
      ::kill(child_, SIGKILL);
      grace_ends_ = Clock::time_point::max();
    }
    wait(grace_ends_ == Clock::time_point::max() ? std::chrono::hours(1) : grace_ends_ - now);
    take_signals();
  }
}

void Supervisor::end(const Others& others) {
  std::vector<pid_t> asked;
  grace_ends_ = std::min(grace_ends_, Clock::now() + grace_);
  for (std::chrono::milliseconds pause(1);;
       pause = std::min(pause * 2, std::chrono::milliseconds(50))) {
    reap();
    const std::vector<pid_t> left = others.list();
    if (left.empty()) return;
    if (Clock::now() >= grace_ends_ + longest_death) return;
    if (Clock::now() >= grace_ends_) {
      others.kill();
    } else {
      for (const pid_t process : left) {
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

void Supervisor::pass_on(const signalfd_siginfo& signal) {
  const int number = static_cast<int>(signal.ssi_signo);
  // A terminal tells every process in its foreground, the child as well.
  const bool child_has_it = signal.ssi_code == SI_KERNEL;
  const bool child_lives = status_ < 0;
  if (number == SIGCONT) {
    reap();
    if (child_lives && child_stopped_) ::kill(child_, SIGCONT);
    return;
  }
  if (child_lives && !child_has_it) ::kill(child_, number);
  if (number == SIGTERM) {
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
      stop_with_child();
    }
  }
}

/// So that the shell that started this one notices. Without a terminal nobody would continue it.
void Supervisor::stop_with_child() {
  if (has_terminal_) ::raise(SIGSTOP);
}

}  // namespace cgctl::tool
