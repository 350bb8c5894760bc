// SPDX-FileCopyrightText: The cgctl authors
// SPDX-License-Identifier: MIT
#pragma once

#include <signal.h>
#include <sys/types.h>

#include <string>
#include <utility>

#include "cgctl/systemd.hpp"

namespace cgctl::tool {

/// A child that does nothing. Its process keeps a cgroup from being empty.
class Keeper {
 public:
  Keeper() = default;
  Keeper(const Keeper&) = delete;
  Keeper& operator=(const Keeper&) = delete;
  Keeper(Keeper&& other) noexcept : pid_(std::exchange(other.pid_, -1)) {}
  Keeper& operator=(Keeper&& other) noexcept {
    std::swap(pid_, other.pid_);
    return *this;
  }
  ~Keeper() { stop(); }

  /// Starts the child, in a session of its own, with these signals blocked. It is killed when this
  /// process ends.
  [[nodiscard]] static Result<Keeper> start(const sigset_t& mask);
  void stop() noexcept;
  [[nodiscard]] pid_t pid() const noexcept { return pid_; }

 private:
  pid_t pid_ = -1;
};

/// A scope of systemd with two cgroups of this command's own: `command` for the program, and
/// `keeper` with a process that lives until the first is removed. Without it systemd would remove
/// both as soon as the program ends, before its pages are freed.
struct StartedScope {
  Keeper keeper;
  std::string path;  ///< cgroup for the program
};

/// Starts the scope and makes the cgroups. `mask`: signals for the keeper; `stop` cancels.
[[nodiscard]] Result<StartedScope> start_scope(const Host& host, systemd::Scope scope,
                                               const sigset_t& mask, int stop);

}  // namespace cgctl::tool
