// SPDX-FileCopyrightText: The cgctl authors
// SPDX-License-Identifier: MIT
#pragma once

#include <sys/select.h>  // sigset_t; <signal.h> brings far more
#include <sys/types.h>

#include <string>
#include <utility>
#include <vector>

#include "cgctl/error.hpp"
#include "cgctl/group.hpp"
#include "cgctl/unique_fd.hpp"

/// Starts a program inside a cgroup.
namespace cgctl::process {

struct Command {
  /// The program and its arguments. A program without a slash is searched in PATH.
  std::vector<std::string> arguments;
  /// Signals to block in the program, read until start() returns; null: those blocked in the
  /// calling thread.
  const sigset_t* signal_mask = nullptr;
  /// A descriptor, such as an eventfd(2) or a signalfd(2), that cancels the start if it becomes
  /// readable before the program runs. -1: none.
  int stop = -1;
};

/// A started process. The caller must wait for it (waitpid(2)).
struct Child {
  pid_t pid = -1;
  /// Becomes readable for poll(2) once the process has ended (pidfd_open(2)); empty before Linux
  /// 5.3.
  UniqueFd pidfd;
};

/// Starts `command` as a child of the calling process. The child is in `group`, in every hierarchy
/// that has it, before the program's first instruction: on v2 it is created there (clone3(2) with
/// CLONE_INTO_CGROUP, Linux 5.7), elsewhere it moves itself before execve(2). It inherits the
/// environment, the working directory and the open descriptors without O_CLOEXEC. Signals that the
/// caller handles are reset to their default action; ignored signals stay ignored. Safe in a
/// multi-threaded program.
///
/// Returns once the program runs. This can block for ever if the cgroup lets no task run: it is
/// frozen (v1 freezer, v2 cgroup.freeze), or its memory limit is reached and OOM kills are off (v1
/// memory.oom_control). Command::stop ends the wait with errc::cancelled.
///
/// On failure there is no child. An Error with the operation "execute" comes from execve(2): ENOENT
/// if there is no such program, EACCES if it may not be executed. Other errors mean that the cgroup
/// refuses the process: see Group::attach(). There is one exception: if the v1 freezer holds the
/// cgroup and the caller may not move a process out of it, a cancelled start returns
/// errc::cancelled and leaves a killed child, which ends once the cgroup is thawed and which the
/// caller must then wait for; the message says so.
[[nodiscard]] Result<Child> start(const Group& group, const Command& command);

}  // namespace cgctl::process
