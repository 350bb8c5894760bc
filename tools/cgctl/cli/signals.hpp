// SPDX-FileCopyrightText: The cgctl authors
// SPDX-License-Identifier: MIT
#pragma once

#include <signal.h>

namespace cgctl::tool {

/// Returns the signals that ask a command to end: SIGINT, SIGTERM and SIGHUP, without ignored ones.
sigset_t ending_signals();

/// Blocks the ending signals during its lifetime, so that a change of several values is written
/// whole.
class HeldSignals {
 public:
  HeldSignals();
  HeldSignals(const HeldSignals&) = delete;
  HeldSignals& operator=(const HeldSignals&) = delete;
  /// Unblocks the signals: one that came meanwhile ends the command here.
  ~HeldSignals();
  /// True if a signal came.
  [[nodiscard]] bool came() const;

 private:
  sigset_t held_;
  sigset_t before_{};
};

}  // namespace cgctl::tool
