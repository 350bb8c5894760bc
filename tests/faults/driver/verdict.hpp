// SPDX-FileCopyrightText: The cgctl authors
// SPDX-License-Identifier: MIT
#pragma once

#include <string>
#include <vector>

#include "run.hpp"

namespace cgctl::faults {

/// The text that several runs without a fault printed. Words that differed between the runs may
/// differ again.
class Expected {
 public:
  void add(const std::vector<std::string>& lines);
  [[nodiscard]] bool matches(const std::vector<std::string>& lines) const;
  /// Returns the lines of a text that match no expected line.
  [[nodiscard]] std::vector<std::string> unexpected(const std::vector<std::string>& lines) const;
  /// Returns the expected lines that no line of a text matches.
  [[nodiscard]] std::vector<std::string> missing(const std::vector<std::string>& lines) const;

 private:
  struct Line {
    std::string text;                ///< the line of the first run
    std::vector<std::string> words;  ///< a word that differed between runs is empty
    bool any = false;                ///< true if the number of words differed: any line matches
    [[nodiscard]] bool matches(const std::vector<std::string>& other) const;
  };
  std::vector<Line> lines_;
  bool begun_ = false;
  bool any_ = false;  ///< true if the number of lines differed: any text matches
};

/// The results of the runs without a fault.
struct Baseline {
  int status = 0;
  std::vector<std::string> before;  ///< state at the start
  Expected out;
  Expected err;
  Expected after;  ///< state at the end
  std::vector<Call> calls;
};

/// Returns a description, in a few lines, of the mistakes of a run in which a call failed with
/// `error`; empty if there are none.
[[nodiscard]] std::string complaint(const Baseline& baseline, const Outcome& outcome, int error,
                                    bool may_stop_half_way);

[[nodiscard]] std::vector<std::string> lines_of(const std::string& text);

}  // namespace cgctl::faults
