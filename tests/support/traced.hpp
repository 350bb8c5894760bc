// SPDX-FileCopyrightText: The cgctl authors
// SPDX-License-Identifier: MIT
#pragma once

#include <cstdint>
#include <functional>
#include <set>
#include <string>

namespace cgctl::test {

/// Says which process run_traced() kills: the one that is about to make system call number `call`,
/// counted from 1; or the first one that is about to make a call at a place in the program that is
/// not in `done`, see Traced::site. None if neither is given.
struct Kill {
  unsigned call = 0;
  const std::set<std::uint64_t>* done = nullptr;
};

/// The result of run_traced().
struct Traced {
  unsigned calls = 0;      ///< system calls that were made
  bool killed = false;     ///< true if there was such a call
  unsigned killed_at = 0;  ///< how many calls were made until then
  /// Stands for the place from which that call was made: a hash of its number in the kernel's table
  /// and of the return addresses on the stack. Calls of one function by different callers are
  /// different places.
  std::uint64_t site = 0;
  std::string trouble;  ///< empty, or why the work could not be traced or did not end
};

/// Runs `work` in a child process and kills it, or a process that it has started, as `kill` says;
/// their calls are counted together. Returns when all these processes have ended, or after two
/// minutes, which kills them.
Traced run_traced(const std::function<void()>& work, const Kill& kill);

/// Calls `round`, which prepares, calls run_traced() with the kill it is given, checks and returns
/// its result: first without a kill, then with calls further apart by a third of the calls, until a
/// run ends by itself. The variable CGCTL_KILL_EVERY in the environment sets another distance; with
/// "place", each place in the program is tried once, on x86-64 in a static program.
/// If fewer than two runs were killed, begins again, because the number of calls varies. Returns
/// how many were killed; stops where there is trouble.
unsigned kill_in_turn(const std::function<Traced(const Kill& kill)>& round);

}  // namespace cgctl::test
