// SPDX-FileCopyrightText: The cgctl authors
// SPDX-License-Identifier: MIT
#pragma once

#include <chrono>
#include <string>
#include <vector>

#include "world.hpp"

namespace cgctl::faults {

/// One call of the command: its strand (process or thread) and its number within the strand.
struct Call {
  unsigned strand = 0;
  unsigned number = 0;
  std::string name;
  std::string where;
};

/// The result of one run.
struct Outcome {
  int status = 0;  ///< exit status; 128 + n if signal n ended the command
  bool signalled = false;
  bool hung = false;
  std::string out;
  std::string err;
  std::vector<std::string> left;   ///< processes still alive
  std::vector<std::string> state;  ///< the state of the world, see World::state()
  std::vector<Call> calls;         ///< all calls of a recording, or the one that failed
};

/// Runs the command with faults.
class Runner {
 public:
  Runner(std::string command, std::chrono::milliseconds patience);

  /// Runs the command. `called` is argv[0]; empty: its path. `fault` is STRAND:NUMBER:ERRNO; empty:
  /// records all calls. The caller sets Outcome::state.
  [[nodiscard]] Outcome run(const std::string& called, const std::vector<std::string>& arguments,
                            const std::string& directory, const std::string& fault,
                            const World& world) const;

 private:
  std::string command_;
  std::chrono::milliseconds patience_;
  int out_;
  int err_;
  int log_;
};

}  // namespace cgctl::faults
