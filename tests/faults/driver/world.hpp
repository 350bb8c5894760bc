// SPDX-FileCopyrightText: The cgctl authors
// SPDX-License-Identifier: MIT
#pragma once

#include <sys/types.h>

#include <string>
#include <utility>
#include <vector>

namespace cgctl::faults {

/// The surroundings of a command under test: this host's cgroups below the suite's own cgroup, and
/// a directory.
class World {
 public:
  /// `name` is the suite's own cgroup in each hierarchy. /etc/cgrules.conf, in this process's own
  /// mount namespace, puts every process into `name`/c.
  explicit World(std::string name);
  ~World();
  World(const World&) = delete;
  World& operator=(const World&) = delete;

  /// True if cgroups can be created on this host.
  [[nodiscard]] bool has_cgroups() const { return !mounts_.empty(); }

  /// Replaces everything by new cgroups a, a/b and c with some limits, a process in a/b, and a
  /// directory with `files`.
  void build(bool cgroups, const std::vector<std::pair<std::string, std::string>>& files);
  /// True if tracefs is within reach.
  [[nodiscard]] bool has_tracing() const;
  /// Removes the tracing instance `name`. With `recording` makes it anew; it records another
  /// hierarchy than those of the world, and so nothing.
  void build_tracing(bool recording) const;

  /// Lists the cgroups with their settings and processes, and the files: one per line, sorted.
  [[nodiscard]] std::vector<std::string> state(bool cgroups) const;

  /// Returns `text` with @G, @S, @T and @P replaced.
  [[nodiscard]] std::string filled_in(std::string text) const;

  [[nodiscard]] pid_t sleeper() const { return sleeper_; }
  [[nodiscard]] const std::string& directory() const { return directory_; }

 private:
  struct Mount {
    std::string point;
    std::vector<std::string> settings;  ///< files that a cgroup has in this hierarchy
  };
  void write_rules() const;
  [[nodiscard]] std::string instance() const;
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
