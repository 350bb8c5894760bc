// SPDX-FileCopyrightText: The cgctl authors
// SPDX-License-Identifier: MIT
#pragma once

#include <string>

#include "cgctl/host.hpp"

namespace cgctl::tool {

/// Names a hierarchy in one word: for v1 as in /proc/PID/cgroup, "cpu,cpuacct" or "name=systemd";
/// for v2 "unified".
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
