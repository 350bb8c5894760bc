// SPDX-FileCopyrightText: The cgctl authors
// SPDX-License-Identifier: MIT
#pragma once

#include <string>
#include <string_view>

namespace cgctl::tool::prune_command {

/// Tells whether systemd or the kubelet still has a unit or pod, from their files below /run and
/// /var/lib of a machine.
class Owners {
 public:
  /// `root` is the directory with the machine's root.
  explicit Owners(std::string root);

  /// Returns why the cgroup must stay, because it or a cgroup above belongs to a unit or pod that
  /// is live or may be; empty if none does.
  [[nodiscard]] std::string claim(std::string_view path) const;
  /// True for a slice of systemd: it stays, and cgroups in it may go. False for the slice of a pod.
  [[nodiscard]] bool is_slice(std::string_view path) const;

 private:
  [[nodiscard]] std::string claim_of_unit(std::string_view name) const;
  [[nodiscard]] std::string claim_of_pod(const std::string& uid) const;

  std::string root_;
  bool systemd_ = false;        // it runs
  bool systemd_tells_ = false;  // it lists its units in files
  bool kubelet_tells_ = false;
};

}  // namespace cgctl::tool::prune_command
