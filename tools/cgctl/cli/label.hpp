// SPDX-FileCopyrightText: The cgctl authors
// SPDX-License-Identifier: MIT
#pragma once

#include <string>

#include "cgctl/host.hpp"

namespace cgctl::tool {

/// A hierarchy in one word, for v1 as /proc/PID/cgroup has it: "cpu,cpuacct", "name=systemd";
/// "unified" for v2.
inline std::string label(const Hierarchy& hierarchy) {
  if (hierarchy.version == Version::v2) return "unified";
  std::string text;
  for (const std::string& controller : hierarchy.controllers) {
    text.append(text.empty() ? "" : ",").append(controller);
  }
  if (!hierarchy.name.empty())
    text.append(text.empty() ? "" : ",").append("name=" + hierarchy.name);
  return text;
}

}  // namespace cgctl::tool
