// SPDX-FileCopyrightText: The cgctl authors
// SPDX-License-Identifier: MIT
#pragma once

#include <chrono>
#include <string>
#include <vector>

#include "world.hpp"

namespace cgctl::faults {

/// One call of the command: of which strand (process or thread), and the how manieth there.
struct Call {
  unsigned strand = 0;
  unsigned number = 0;
  std::string name;
  std::string where;
};

/// How one run ended.
struct Outcome {
  int status = 0;  ///< 128 + n where signal n ended it
  bool signalled = false;
  bool hung = false;
  std::string out;
  std::string err;
  std::vector<std::string> left;   ///< processes still alive
  std::vector<std::string> state;  ///< of the world, see World::state()
  std::vector<Call> calls;         ///< all, or the one that failed
};

/// Runs the command with faults.
class Runner {
 public:
  Runner(std::string command, std::chrono::milliseconds patience);

  /// `called` is the command's name for itself, empty for its path. `fault` is STRAND:NUMBER:ERRNO,
  /// or empty for a recording. The state is left for the caller.
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
