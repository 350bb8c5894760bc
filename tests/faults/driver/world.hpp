// SPDX-FileCopyrightText: The cgctl authors
// SPDX-License-Identifier: MIT
#pragma once

#include <sys/types.h>

#include <string>
#include <utility>
#include <vector>

namespace cgctl::faults {

/// This host's cgroups below a group of the suite's own, and a directory: what a command finds, and
/// what it leaves.
class World {
 public:
  /// `name` is the group's in each hierarchy. /etc/cgrules.conf, in a mount namespace of this
  /// process' own, puts every process into `name`/c.
  explicit World(std::string name);
  ~World();
  World(const World&) = delete;
  World& operator=(const World&) = delete;

  /// True if cgroups can be made here.
  [[nodiscard]] bool has_cgroups() const { return !mounts_.empty(); }

  /// Makes the groups a, a/b and c with some limits, a process in a/b, and the directory with
  /// `files`; whatever was there goes.
  void build(bool cgroups, const std::vector<std::pair<std::string, std::string>>& files);

  /// Lists groups, their settings and processes, and the files: a line each, sorted.
  [[nodiscard]] std::vector<std::string> state(bool cgroups) const;

  /// Returns `text` with @G, @S, @T and @P replaced.
  [[nodiscard]] std::string filled_in(std::string text) const;

  [[nodiscard]] pid_t sleeper() const { return sleeper_; }
  [[nodiscard]] const std::string& directory() const { return directory_; }

 private:
  struct Mount {
    std::string point;
    std::vector<std::string> settings;  ///< files that a group has here
  };
  void write_rules() const;
  void find_mounts();
  void clear_cgroups();
  void clear_files() const;
  void start_sleeper();

  std::string name_;
  std::string directory_;
  std::vector<Mount> mounts_;
  pid_t sleeper_ = -1;
};

}  // namespace cgctl::faults
