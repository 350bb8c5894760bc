// SPDX-FileCopyrightText: The cgctl authors
// SPDX-License-Identifier: MIT
#pragma once

#include <functional>
#include <string>

namespace cgctl::test {

/// The result of run_traced().
struct Traced {
  unsigned calls = 0;   ///< system calls that were made
  bool killed = false;  ///< true if there was a call with the given number
  std::string trouble;  ///< empty, or why the work could not be traced or did not end
};

/// Runs `work` in a child process and kills the process that is about to make system call number
/// `at`: the child or one that it has started; their calls are counted together, from 1. With 0 it
/// kills none. Returns when all these processes have ended, or after two minutes, which kills them.
Traced run_traced(const std::function<void()>& work, unsigned at);

/// Calls `round`, which prepares, calls run_traced() with the number it is given, checks and
/// returns its result: first with 0, then with numbers further apart by a third of the calls, or by
/// the number in the variable CGCTL_KILL_EVERY, until a run ends by itself. Begins again if that
/// run made so few calls that fewer than two runs were killed: the number of calls varies.
/// Returns how many were killed; stops where there is trouble.
unsigned kill_in_turn(const std::function<Traced(unsigned at)>& round);

}  // namespace cgctl::test
