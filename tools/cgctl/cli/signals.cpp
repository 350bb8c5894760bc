// SPDX-FileCopyrightText: The cgctl authors
// SPDX-License-Identifier: MIT
#include "cli/signals.hpp"

namespace cgctl::tool {
namespace {

constexpr int ending[] = {SIGINT, SIGTERM, SIGHUP};

}  // namespace

sigset_t ending_signals() {
  sigset_t signals;
  ::sigemptyset(&signals);
  for (const int signal : ending) {
    struct sigaction action {};
    const bool ignored = ::sigaction(signal, nullptr, &action) == 0 && action.sa_handler == SIG_IGN;
    if (!ignored) ::sigaddset(&signals, signal);
  }
  return signals;
}

HeldSignals::HeldSignals() : held_(ending_signals()) { ::sigprocmask(SIG_BLOCK, &held_, &before_); }

HeldSignals::~HeldSignals() { ::sigprocmask(SIG_SETMASK, &before_, nullptr); }

bool HeldSignals::came() const {
  sigset_t pending;
  if (::sigpending(&pending) != 0) return false;
  for (const int signal : ending) {
    if (::sigismember(&held_, signal) == 1 && ::sigismember(&pending, signal) == 1) return true;
  }
  return false;
}

}  // namespace cgctl::tool
