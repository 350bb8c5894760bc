// SPDX-FileCopyrightText: The cgctl authors
// SPDX-License-Identifier: MIT
#include "isolated.hpp"

#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <sys/wait.h>
#include <unistd.h>

#include <array>
#include <cerrno>
#include <string>
#include <thread>

#include "cgctl/filesystem.hpp"
#include "cgctl/unique_fd.hpp"

namespace cgctl::detail {
namespace {

using Clock = std::chrono::steady_clock;

/// The child's verdict, or nothing when the deadline comes first. A child that dies without one
/// closes the pipe.
enum class Verdict { delivered, none, late };

Verdict wait_for(int fd, Clock::time_point deadline, int& verdict) {
  for (;;) {
    const auto left =
        std::chrono::duration_cast<std::chrono::milliseconds>(deadline - Clock::now());
    if (left.count() <= 0) return Verdict::late;
    pollfd watched{fd, POLLIN, 0};
    constexpr auto longest = std::chrono::milliseconds(1'000'000);
    const int ready = ::poll(&watched, 1, static_cast<int>(std::min(left, longest).count()));
    if (ready < 0 && errno == EINTR) continue;
    if (ready < 0) return Verdict::none;
    if (ready == 0) continue;
    const ssize_t got = ::read(fd, &verdict, sizeof verdict);
    if (got < 0 && errno == EINTR) continue;
    return got == sizeof verdict ? Verdict::delivered : Verdict::none;
  }
}

std::string in_words(std::chrono::nanoseconds time) {
  using std::chrono::duration_cast;
  if (time >= std::chrono::seconds(10)) {
    return std::to_string(duration_cast<std::chrono::seconds>(time).count()) + " s";
  }
  if (time >= std::chrono::milliseconds(10)) {
    return std::to_string(duration_cast<std::chrono::milliseconds>(time).count()) + " ms";
  }
  return std::to_string(duration_cast<std::chrono::microseconds>(time).count()) + " us";
}

/// Reaps the child; gives up after a while, since a child inside an uninterruptible call cannot be
/// waited for. ECHILD (somebody else reaped it) is as good.
void reap(pid_t child) {
  for (int attempt = 0; attempt < 100; ++attempt) {
    const pid_t done = ::waitpid(child, nullptr, WNOHANG);
    if (done == child || (done < 0 && errno != EINTR)) return;
    std::this_thread::sleep_for(std::chrono::milliseconds(10));
  }
}

}  // namespace

Result<std::chrono::nanoseconds> run_isolated(const std::function<int()>& work,
                                              std::chrono::nanoseconds deadline,
                                              const char* operation, const std::string& path) {
  std::array<int, 2> ends{};
  if (::pipe2(ends.data(), O_CLOEXEC) != 0) return fail(fs::system_error(operation, path, errno));
  const UniqueFd reading(ends[0]);
  UniqueFd writing(ends[1]);
  const auto start = Clock::now();
  const pid_t child = ::fork();
  if (child < 0) return fail(fs::system_error(operation, path, errno));
  if (child == 0) {
    const int verdict = work();
    const ssize_t told = ::write(writing.get(), &verdict, sizeof verdict);
    ::_exit(told == sizeof verdict ? 0 : 1);
  }
  writing.reset();
  int verdict = 0;
  const Verdict how = wait_for(reading.get(), start + deadline, verdict);
  const auto took = Clock::now() - start;
  if (how == Verdict::late) ::kill(child, SIGKILL);
  reap(child);
  if (how == Verdict::late) {
    return fail(Error::make(
        errc::timed_out, operation, path,
        "the kernel was not done within " + in_words(deadline) + "; the writer was killed",
        "raise the deadline, or leave it be: this rung is too heavy here"));
  }
  if (how == Verdict::none) {
    return fail(Error::make(errc::system, operation, path,
                            "the process that did it died without an answer"));
  }
  if (verdict != 0) return fail(fs::system_error(operation, path, verdict));
  return took;
}

}  // namespace cgctl::detail
