// SPDX-FileCopyrightText: The cgctl authors
// SPDX-License-Identifier: MIT
#pragma once

#include <signal.h>

namespace cgctl::tool {

/// The signals that ask a command to end: SIGINT, SIGTERM and SIGHUP, without those it ignores.
sigset_t ending_signals();

/// Holds those signals back until its end, so that a change of several values is written whole.
class HeldSignals {
 public:
  HeldSignals();
  HeldSignals(const HeldSignals&) = delete;
  HeldSignals& operator=(const HeldSignals&) = delete;
  /// A signal that came meanwhile ends the command here.
  ~HeldSignals();
  /// True if one came.
  [[nodiscard]] bool came() const;

 private:
  sigset_t held_;
  sigset_t before_{};
};

}  // namespace cgctl::tool
