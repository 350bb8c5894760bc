// SPDX-FileCopyrightText: The cgctl authors
// SPDX-License-Identifier: MIT
#pragma once

#include <filesystem>
#include <sstream>
#include <string>
#include <string_view>

#include "captures.hpp"
#include "cgctl/host.hpp"
#include "temp_directory.hpp"

namespace cgctl::test {

/// A captured machine copied into a directory of the test's own, so that it may be changed.
class CapturedMachine {
 public:
  /// `capture` is a folder of tests/captures, such as "linux-5.4-v1-numa2/2-zombies".
  explicit CapturedMachine(std::string_view capture) {
    std::filesystem::copy(captures() / capture, root_.path(),
                          std::filesystem::copy_options::recursive);
  }

  [[nodiscard]] std::filesystem::path path(std::string_view file) const {
    return root_.path() / file;
  }
  [[nodiscard]] std::filesystem::path cgroup(std::string_view below) const {
    return root_.path() / "sys/fs/cgroup" / below;
  }
  [[nodiscard]] Roots roots() const {
    return {root_ / "sys/fs/cgroup", root_ / "proc", root_ / "sys"};
  }
  /// Makes it a machine with the memory controller on v2, at "unified". Its groups there have the
  /// files that the test gives them.
  void put_memory_on_v2() const {
    std::string kept;
    std::istringstream lines(file_text(path("proc/self/mountinfo")));
    for (std::string line; std::getline(lines, line);) {
      if (line.find("rw,memory") == std::string::npos) kept += line + "\n";
    }
    put_file(path("proc/self/mountinfo"), kept);
    put_file(cgroup("unified/cgroup.controllers"), "memory hugetlb\n");
  }
  [[nodiscard]] Result<Host> host() const { return Host::detect(roots()); }

 private:
  TempDirectory root_;
};

}  // namespace cgctl::test
