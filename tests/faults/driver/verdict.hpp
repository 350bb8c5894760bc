// SPDX-FileCopyrightText: The cgctl authors
// SPDX-License-Identifier: MIT
#pragma once

#include <string>
#include <vector>

#include "run.hpp"

namespace cgctl::faults {

/// A text as several runs without a fault gave it: words that differed among them may differ again.
class Expected {
 public:
  void add(const std::vector<std::string>& lines);
  [[nodiscard]] bool matches(const std::vector<std::string>& lines) const;
  /// Returns the lines that no line expected matches.
  [[nodiscard]] std::vector<std::string> unexpected(const std::vector<std::string>& lines) const;
  /// Returns the lines expected that no line matches.
  [[nodiscard]] std::vector<std::string> missing(const std::vector<std::string>& lines) const;

 private:
  struct Line {
    std::string text;                ///< as it came first
    std::vector<std::string> words;  ///< a volatile one is empty
    bool any = false;                ///< the number of words differed: any line matches
    [[nodiscard]] bool matches(const std::vector<std::string>& other) const;
  };
  std::vector<Line> lines_;
  bool begun_ = false;
  bool any_ = false;  ///< the number of lines differed: any text matches
};

/// What runs without a fault did.
struct Baseline {
  int status = 0;
  std::vector<std::string> before;  ///< state at the start
  Expected out;
  Expected err;
  Expected after;  ///< state at the end
  std::vector<Call> calls;
};

/// Returns what is wrong with a run in which a call failed with `error`, in a few lines; empty if
/// nothing is.
[[nodiscard]] std::string complaint(const Baseline& baseline, const Outcome& outcome, int error,
                                    bool may_stop_half_way);

[[nodiscard]] std::vector<std::string> lines_of(const std::string& text);

}  // namespace cgctl::faults
