// SPDX-FileCopyrightText: The cgctl authors
// SPDX-License-Identifier: MIT
#pragma once

#include <signal.h>
#include <sys/signalfd.h>
#include <sys/types.h>

#include <array>
#include <chrono>
#include <cstddef>
#include <functional>
#include <optional>
#include <vector>

#include "cgctl/error.hpp"
#include "cgctl/unique_fd.hpp"

namespace cgctl::tool {

/// Waits for one child as if its shell or service manager waited directly: passes on the signals
/// that it gets, stops and continues with the child, and reaps all other children. It must be made
/// before anything else: it blocks all signals except those of the process's own faults and of a
/// terminal's background, so that none ends the process while there is something to undo.
class Supervisor {
 public:
  using Clock = std::chrono::steady_clock;

  /// Functions that list the other processes and that kill them at once.
  struct Others {
    std::function<Result<std::vector<pid_t>>()> list;
    std::function<void()> kill;
  };

  static Result<Supervisor> make(std::chrono::nanoseconds grace);

  /// True if this signal is one that is passed on.
  static bool passes_on(int signal) noexcept;
  /// Passes on `to` in place of `from`; drops `from` if `to` is 0. A signal that the terminal has
  /// sent to the child as well is not passed on, and so not rewritten.
  void rewrite(int from, int to) noexcept { rewritten_[static_cast<std::size_t>(from)] = to; }

  /// Returns a descriptor that is readable once a signal has come that would end the command if it
  /// ran already.
  [[nodiscard]] int stop() const noexcept { return stop_.get(); }
  /// Takes such a signal, which is then not passed on; returns its number, or nothing if none came.
  [[nodiscard]] std::optional<int> stopped_by() const;

  /// Returns the signals that were blocked before, for the child.
  [[nodiscard]] const sigset_t& mask() const noexcept { return before_; }

  /// Waits until the child has ended; returns its status as a shell gives it: 128 + n if signal n
  /// ended it. Calls `kill` when the grace time after a SIGTERM that was passed on is over.
  int wait_for(pid_t child, const std::function<void()>& kill);

  /// Ends the other processes after the child's end: sends SIGTERM, and calls `kill` after the
  /// grace time, which an earlier SIGTERM has started. Returns when none is left, or some seconds
  /// after the grace time. Retries a few times if the list cannot be read.
  [[nodiscard]] Status end(const Others& others);

 private:
  Supervisor() = default;

  void take_signals();
  void pass_on(const signalfd_siginfo& signal);
  void reap();
  void stop_with_child();
  void wait(std::chrono::nanoseconds at_most) const;

  [[nodiscard]] bool child_has(const signalfd_siginfo& signal) const;

  UniqueFd signals_;
  UniqueFd stop_;
  sigset_t before_{};
  std::chrono::nanoseconds grace_{};
  bool has_terminal_ = false;
  std::array<int, NSIG> rewritten_{};  ///< by signal: the one that is passed on

  pid_t child_ = -1;
  int status_ = -1;
  bool child_stopped_ = false;
  Clock::time_point grace_ends_ = Clock::time_point::max();
};

}  // namespace cgctl::tool
