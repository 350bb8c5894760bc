// SPDX-FileCopyrightText: The cgctl authors
// SPDX-License-Identifier: MIT
#pragma once

#include <string>
#include <variant>
#include <vector>

#include "cgctl/cpu.hpp"
#include "cgctl/memory.hpp"
#include "cgctl/settings.hpp"
#include "cgctl/tree.hpp"

namespace cgctl::tree::detail {

/// A cgroup to make, for these controllers of the host.
struct Creation {
  std::string path;
  std::vector<std::string> controllers;
  std::vector<settings::Setting> rules;  ///< device rules, written right after it is made
};

/// Settings of one cgroup that are written all or none.
struct Job {
  std::string path;
  /// For permissions: controllers that select the hierarchies.
  std::vector<std::string> controllers;
  /// A vector of settings holds device rules.
  std::variant<cpu::Change, memory::Change, settings::Setting, std::vector<settings::Setting>,
               permissions::Permissions>
      what;
};

/// A plan and the work that carries it out.
struct Work {
  Plan plan;
  std::vector<Creation> creations;
  std::vector<Job> jobs;
  std::vector<std::string> removals;  ///< the deepest first
};

}  // namespace cgctl::tree::detail
