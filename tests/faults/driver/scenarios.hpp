// SPDX-FileCopyrightText: The cgctl authors
// SPDX-License-Identifier: MIT
#pragma once

#include <string>
#include <utility>
#include <vector>

namespace cgctl::faults {

/// One invocation of the command, in which each system call fails in turn.
struct Scenario {
  std::string name;
  /// The captured tree that the command reads. Empty: this host's cgroups, below the suite's own
  /// cgroup.
  std::string tree;
  /// In these, `@G` stands for the suite's own cgroup (`@S` without its slash), `@T` for an empty
  /// directory, and `@P` for a process in `@G/a/b`.
  std::vector<std::string> arguments;
  /// Files to create in `@T`: name and content.
  std::vector<std::pair<std::string, std::string>> files = {};
  /// True for a command that may stop half-way when it fails; cgroups that it has removed stay
  /// removed.
  bool may_stop_half_way = false;
  /// The name by which the command is called, such as cgget; empty: its own.
  std::string called = {};
  /// True for a command of the recorder, whose tracing instance is `@S`.
  bool traces = false;
  /// True if the instance records before the command runs.
  bool recording = false;
  /// True for a command that leaves out a cgroup that is gone, which ENODEV means.
  bool leaves_out_gone = false;
};

[[nodiscard]] std::vector<Scenario> all_scenarios();

}  // namespace cgctl::faults
