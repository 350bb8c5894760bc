// SPDX-FileCopyrightText: The cgctl authors
// SPDX-License-Identifier: MIT
#pragma once

#include <filesystem>
#include <string_view>

#include "captures.hpp"
#include "cgctl/host.hpp"
#include "temp_directory.hpp"

namespace cgctl::test {

/// A captured machine, copied into a temporary directory so that a test can change it.
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
  [[nodiscard]] Result<Host> host() const { return Host::detect(roots()); }

 private:
  TempDirectory root_;
};

}  // namespace cgctl::test
