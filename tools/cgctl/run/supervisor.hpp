// SPDX-FileCopyrightText: The cgctl authors
// SPDX-License-Identifier: MIT
#pragma once

#include <signal.h>
#include <sys/signalfd.h>
#include <sys/types.h>

#include <chrono>
#include <functional>
#include <optional>
#include <vector>

#include "cgctl/error.hpp"
#include "cgctl/unique_fd.hpp"

namespace cgctl::tool {

/// Waits for one child, as a shell or a service manager would wait for it itself: passes on the
/// signals that it gets, stops and goes on with the child, and reaps whatever else becomes its
/// child. Made before anything else is, it blocks all signals but those of the process's own
/// mistakes and of a terminal's background: none ends the process while there is something to undo.
class Supervisor {
 public:
  using Clock = std::chrono::steady_clock;

  /// How to find the others, and how to end them at once.
  struct Others {
    std::function<Result<std::vector<pid_t>>()> list;
    std::function<void()> kill;
  };

  static Result<Supervisor> make(std::chrono::nanoseconds grace);

  /// Readable once a signal has come that would end the command, were it to run already.
  [[nodiscard]] int stop() const noexcept { return stop_.get(); }
  /// The number of that signal, if one has come; taken, it is not passed on.
  [[nodiscard]] std::optional<int> stopped_by() const;

  /// The signals that were blocked before, for the child.
  [[nodiscard]] const sigset_t& mask() const noexcept { return before_; }

  /// Until the child has ended; its status as a shell has it: 128 + n when signal n ended it. After
  /// a SIGTERM that was passed on, and the time of grace, `kill` is called.
  int wait_for(pid_t child, const std::function<void()>& kill);

  /// After the child's end: asks the others with SIGTERM, calls `kill` after the time of grace,
  /// which a SIGTERM before has begun, and returns when there are none, or when even that has not
  /// helped for some seconds. A list that cannot be read is asked for again, some times.
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

  pid_t child_ = -1;
  int status_ = -1;
  bool child_stopped_ = false;
  Clock::time_point grace_ends_ = Clock::time_point::max();
};

}  // namespace cgctl::tool
