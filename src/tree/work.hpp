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

/// A cgroup that is to be made for these controllers of the host.
struct Creation {
  std::string path;
  std::vector<std::string> controllers;
  std::vector<settings::Setting> rules;  ///< of the devices controller, written at once
};

/// What is written to one cgroup as one: all of it or none.
struct Job {
  std::string path;
  std::vector<std::string> controllers;  ///< whose hierarchies permissions are for
  std::variant<cpu::Change, memory::Change, settings::Setting, std::vector<settings::Setting>,
               permissions::Permissions>
      what;  ///< several settings: rules of the devices controller
};

/// A plan and what carries it out.
struct Work {
  Plan plan;
  std::vector<Creation> creations;
  std::vector<Job> jobs;
  std::vector<std::string> removals;  ///< the deepest first
};

}  // namespace cgctl::tree::detail
