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
  /// A captured tree that the command reads; empty: this host's cgroups, below a group of the
  /// suite's own.
  std::string tree;
  /// `@G` is the suite's own group (`@S` without its slash), `@T` an empty directory, `@P` a
  /// process in `@G/a/b`.
  std::vector<std::string> arguments;
  /// Files in `@T`, by name and content.
  std::vector<std::pair<std::string, std::string>> files = {};
  /// True for a command that may stop half-way when it fails: what it has removed stays removed.
  bool may_stop_half_way = false;
  /// The name that the command is called by, such as cgget; empty: its own.
  std::string called = {};
};

[[nodiscard]] std::vector<Scenario> all_scenarios();

}  // namespace cgctl::faults
