// SPDX-FileCopyrightText: The cgctl authors
// SPDX-License-Identifier: MIT
#include "detail/isolated.hpp"

#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <sys/prctl.h>
#include <sys/wait.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <cerrno>
#include <string>
#include <thread>

#include "cgctl/filesystem.hpp"
#include "cgctl/unique_fd.hpp"
#include "detail/blocked_signals.hpp"

namespace cgctl::detail {
namespace {

using Clock = std::chrono::steady_clock;
using std::chrono::milliseconds;

/// How the wait for the child's verdict ended. `none`: the child died without one and closed the
/// pipe. `unread`: the pipe could not be read, and `verdict` is the errno.
enum class Verdict { delivered, none, late, cancelled, unread };

Verdict wait_for(int fd, int stop, Clock::time_point deadline, int& verdict) {
  for (;;) {
    const auto left = std::chrono::duration_cast<milliseconds>(deadline - Clock::now());
    if (left.count() <= 0) return Verdict::late;
    std::array<pollfd, 2> watched{{{fd, POLLIN, 0}, {stop, POLLIN, 0}}};
    constexpr auto longest = milliseconds(1'000'000);
    const int ready =
        ::poll(watched.data(), watched.size(), static_cast<int>(std::min(left, longest).count()));
    if (ready < 0 && errno == EINTR) continue;
    if (ready < 0) {
      verdict = errno;
      return Verdict::unread;
    }
    if (ready == 0) continue;
    if (watched[0].revents == 0) return Verdict::cancelled;
    const ssize_t got = ::read(fd, &verdict, sizeof verdict);
    if (got < 0 && errno == EINTR) continue;
    if (got < 0) {
      verdict = errno;
      return Verdict::unread;
    }
    return got == sizeof verdict ? Verdict::delivered : Verdict::none;
  }
}

std::string in_words(std::chrono::nanoseconds time) {
  using std::chrono::duration_cast;
  if (time >= std::chrono::seconds(10)) {
    return std::to_string(duration_cast<std::chrono::seconds>(time).count()) + " s";
  }
  if (time >= milliseconds(10)) {
    return std::to_string(duration_cast<std::chrono::milliseconds>(time).count()) + " ms";
  }
  return std::to_string(duration_cast<std::chrono::microseconds>(time).count()) + " us";
}

/// Reaps the child. Gives up after `patience`, because a child inside an uninterruptible system
/// call does not end. ECHILD (reaped by somebody else) also counts as success.
void collect(pid_t child, milliseconds patience) {
  const auto give_up = Clock::now() + patience;
  for (;;) {
    const pid_t done = ::waitpid(child, nullptr, WNOHANG);
    if (done == child || (done < 0 && errno != EINTR) || Clock::now() >= give_up) return;
    std::this_thread::sleep_for(milliseconds(10));
  }
}

}  // namespace

Result<std::chrono::nanoseconds> run_isolated(const std::function<int()>& work,
                                              const Isolation& how) {
  std::array<int, 2> ends{};
  if (::pipe2(ends.data(), O_CLOEXEC) != 0) {
    return fail(fs::system_error(how.operation, how.path, errno));
  }
  const UniqueFd reading(ends[0]);
  UniqueFd writing(ends[1]);
  const auto start = Clock::now();
  const pid_t parent = ::getpid();
  pid_t child = 0;
  {
    const BlockedSignals blocked;
    child = ::fork();
    if (child < 0) return fail(fs::system_error(how.operation, how.path, errno));
    if (child == 0) {
      ::prctl(PR_SET_PDEATHSIG, SIGKILL);
      if (::getppid() != parent) ::_exit(1);
      const int verdict = work();
      const ssize_t told = ::write(writing.get(), &verdict, sizeof verdict);
      ::_exit(told == sizeof verdict ? 0 : 1);
    }
  }
  writing.reset();
  int verdict = 0;
  const Verdict outcome = wait_for(reading.get(), how.stop, start + how.deadline, verdict);
  const auto took = Clock::now() - start;
  if (outcome != Verdict::delivered && outcome != Verdict::none) ::kill(child, SIGKILL);
  collect(child, outcome == Verdict::cancelled ? milliseconds(200) : milliseconds(1000));
  switch (outcome) {
    case Verdict::late:
      return fail(
          Error::make(errc::timed_out, how.operation, how.path,
                      "the kernel did not finish within " + in_words(how.deadline) +
                          "; the writing process was killed",
                      "raise the deadline, or leave this rung out: it is too heavy for this host"));
    case Verdict::cancelled:
      return fail(Error::make(errc::cancelled, how.operation, how.path, "cancelled half-way"));
    case Verdict::none:
      return fail(Error::make(errc::system, how.operation, how.path,
                              "the process that did it died without an answer"));
    case Verdict::unread:
    case Verdict::delivered:
      break;
  }
  if (verdict != 0) return fail(fs::system_error(how.operation, how.path, verdict));
  return took;
}

}  // namespace cgctl::detail
