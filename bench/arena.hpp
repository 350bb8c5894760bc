// SPDX-FileCopyrightText: The cgctl authors
// SPDX-License-Identifier: MIT
#pragma once

#include <sys/types.h>

#include <cstdint>
#include <map>
#include <optional>
#include <string>
#include <utility>
#include <vector>

#include "cgctl/cgctl.hpp"

/// Creates real cgroups to measure on, below a cgroup of its own that is removed however the
/// process ends.
namespace cgctl::bench {

inline constexpr const char* arena_name = "cgctl-bench";

/// A tree of live cgroups in the memory hierarchy; `size` includes the topmost one.
struct Tree {
  std::uint64_t size;
  std::string path;
  UniqueFd directory;
};

enum class Shape {
  flat,    ///< one parent, all others are leaves
  pods,    ///< kubepods, with two containers in each pod
  chains,  ///< each cgroup inside the one before, 33 deep
};

std::string to_string(Shape shape);

/// The cgroup cgctl-bench in the hierarchies of cpu, cpuacct and memory. A guardian process waits
/// until this process has ended, however it ends, and then removes the cgroup with all below it.
/// Until then no other run can begin (flock on the directory).
class Arena {
 public:
  /// Returns the arena of this process; the first call creates it.
  static Arena& instance();
  Arena(const Arena&) = delete;
  Arena& operator=(const Arena&) = delete;
  ~Arena();

  /// Returns the reason why nothing can be measured here, or an empty text.
  [[nodiscard]] const std::string& problem() const noexcept { return problem_; }
  [[nodiscard]] const Host& host() const noexcept { return *host_; }
  [[nodiscard]] const Hierarchy& memory() const noexcept { return *memory_; }

  /// Returns a cgroup without children that holds 16 MiB of memory.
  Result<Group> charged_group();
  /// Returns the path of a cgroup with `size` cgroups below it, in all hierarchies.
  Result<std::string> groups(std::uint64_t size);
  /// Creates or removes one cgroup below `path` in all hierarchies.
  [[nodiscard]] Status add(const std::string& path) const;
  [[nodiscard]] Status remove(const std::string& path) const;
  Result<const Tree*> tree(Shape shape, std::uint64_t size);
  /// Creates zombies, each kept alive by a page, until there are `size` of them.
  Status zombies(std::uint64_t size);

 private:
  Arena();
  Status open();
  Status start_guardian();
  [[nodiscard]] Status clear() const;

  std::string problem_;
  std::optional<Host> host_;
  const Hierarchy* memory_ = nullptr;
  std::vector<const Hierarchy*> hierarchies_;  // memory's is the first
  std::vector<UniqueFd> tops_;                 // the directory cgctl-bench in each hierarchy
  UniqueFd life_;  // a pipe; its end tells the guardian that this process has ended
  pid_t guardian_ = -1;
  UniqueFd pages_;  // the file in memory whose pages are charged
  std::uint64_t zombies_ = 0;
  std::optional<Group> charged_;
  std::map<std::uint64_t, std::string> groups_;
  std::map<std::pair<Shape, std::uint64_t>, Tree> trees_;
};

}  // namespace cgctl::bench
