// SPDX-FileCopyrightText: The cgctl authors
// SPDX-License-Identifier: MIT
#pragma once

#include <filesystem>
#include <string>
#include <string_view>

#include "captures.hpp"
#include "cgctl/host.hpp"
#include "temp_directory.hpp"

namespace cgctl::test {

/// Returns a line of mountinfo for a v1 hierarchy; `root` is the part that is mounted.
inline std::string v1_mount(std::string_view mount_point, std::string_view options,
                            std::string_view root = "/") {
  return "30 25 0:30 " + std::string(root) + " " + std::string(mount_point) +
         " rw,nosuid shared:9 - cgroup cgroup rw," + std::string(options) + "\n";
}

inline std::string v2_mount(std::string_view mount_point, std::string_view root = "/") {
  return "31 25 0:31 " + std::string(root) + " " + std::string(mount_point) +
         " rw,nosuid shared:10 - cgroup2 cgroup2 rw,nsdelegate\n";
}

/// A machine that a test makes up, of real files and directories.
class MadeMachine {
 public:
  explicit MadeMachine(std::string_view mountinfo) { put("proc/self/mountinfo", mountinfo); }

  void put(std::string_view file, std::string_view text) const { put_file(path(file), text); }
  /// Creates the root directory of a v1 hierarchy, with a file by which it is recognized.
  void put_v1(std::string_view below) const {
    put_file(cgroup(below) / "cgroup.procs", "");
    put_file(cgroup(below) / "cgroup.sane_behavior", "0\n");
  }
  /// Creates the root directory of the v2 hierarchy.
  void put_v2(std::string_view below, std::string_view controllers) const {
    put_file(cgroup(below) / "cgroup.procs", "");
    put_file(cgroup(below) / "cgroup.controllers", std::string(controllers) + "\n");
  }

  [[nodiscard]] std::filesystem::path path(std::string_view file) const {
    return root_.path() / file;
  }
  [[nodiscard]] std::filesystem::path cgroup(std::string_view below) const {
    return root_.path() / "sys/fs/cgroup" / below;
  }
  [[nodiscard]] Roots roots() const { return roots_of(root_.path()); }
  [[nodiscard]] Result<Host> host() const { return Host::detect(roots()); }

 private:
  TempDirectory root_;
};

}  // namespace cgctl::test
