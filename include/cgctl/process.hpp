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

/// Starting a program inside a cgroup.
namespace cgctl::process {

struct Command {
  /// The program, looked for in PATH when it has no slash, and its arguments.
  std::vector<std::string> arguments;
  /// The signals that are blocked in it, read until start() returns; null: those that are in the
  /// calling thread.
  const sigset_t* signal_mask = nullptr;
  /// A descriptor, such as an eventfd(2) or a signalfd(2): when it becomes readable before the
  /// program runs, the start is given up. -1: none.
  int stop = -1;
};

/// A process that was started; whoever started it waits for it (waitpid(2)).
struct Child {
  pid_t pid = -1;
  /// For poll(2): readable once it has ended (pidfd_open(2), Linux 5.3); empty before.
  UniqueFd pidfd;
};

/// Starts `command` as a child of the calling process. It is in `group`, in every hierarchy that
/// has it, before its first instruction: on v2 it is born there (clone3(2) with CLONE_INTO_CGROUP,
/// Linux 5.7), elsewhere it moves itself before execve(2). Its environment, working directory and
/// open descriptors without O_CLOEXEC are the caller's; signals that the caller handles have their
/// default action, those it ignores stay ignored. Safe in a program of many threads.
///
/// Returns once the program runs. That can take for ever where the cgroup lets nothing run: it is
/// frozen (v1 freezer, v2 cgroup.freeze), or its memory is used up and OOM kills are off (v1
/// memory.oom_control). Command::stop ends the wait, with errc::cancelled.
///
/// On failure there is no child. An Error of the operation "execute" is execve's: ENOENT when there
/// is no such program, EACCES when it may not be executed. Otherwise the cgroup does not take it:
/// see Group::attach(). One exception: a caller that may not move a process out of a cgroup that
/// the v1 freezer holds gets errc::cancelled with a killed child that ends, as a child to be waited
/// for, when the cgroup is thawed; the message says so.
[[nodiscard]] Result<Child> start(const Group& group, const Command& command);

}  // namespace cgctl::process
