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

/// Real cgroups to measure on, below one of their own that is removed whatever becomes of the
/// process.
namespace cgctl::bench {

inline constexpr const char* arena_name = "cgctl-bench";

/// Live cgroups of the memory hierarchy, the topmost included.
struct Tree {
  std::uint64_t size;
  std::string path;
  UniqueFd directory;
};

enum class Shape {
  flat,    ///< all leaves
  pods,    ///< kubepods: pods of two containers each
  chains,  ///< each inside the one before, 33 deep
};

std::string to_string(Shape shape);

/// The cgroup cgctl-bench in the hierarchies of cpu, cpuacct and memory. A guardian process waits
/// for the end of this one, whatever ends it, and removes the cgroup with all below it; until it
/// has, no other run can begin (flock on the directory).
class Arena {
 public:
  /// The one of this process, made at the first call.
  static Arena& instance();
  Arena(const Arena&) = delete;
  Arena& operator=(const Arena&) = delete;
  ~Arena();

  /// Why there is nothing to measure on, or empty.
  [[nodiscard]] const std::string& problem() const noexcept { return problem_; }
  [[nodiscard]] const Host& host() const noexcept { return *host_; }
  [[nodiscard]] const Hierarchy& memory() const noexcept { return *memory_; }

  /// A cgroup without children that holds 16 MiB of memory.
  Result<Group> charged_group();
  /// The path of a cgroup with `size` cgroups below it, in all hierarchies.
  Result<std::string> groups(std::uint64_t size);
  /// One more cgroup below `path` in all hierarchies, or one less.
  [[nodiscard]] Status add(const std::string& path) const;
  [[nodiscard]] Status remove(const std::string& path) const;
  Result<const Tree*> tree(Shape shape, std::uint64_t size);
  /// Has so many removed cgroups that a page still pins.
  Status zombies(std::uint64_t size);

 private:
  Arena();
  Status open();
  Status start_guardian();
  [[nodiscard]] Status clear() const;

  std::string problem_;
  std::optional<Host> host_;
  const Hierarchy* memory_ = nullptr;
  std::vector<const Hierarchy*> hierarchies_;  // memory's first
  std::vector<UniqueFd> tops_;                 // cgctl-bench in each
  UniqueFd life_;                              // its end is the guardian's sign
  pid_t guardian_ = -1;
  UniqueFd pages_;  // what is charged, in memory
  std::uint64_t zombies_ = 0;
  std::optional<Group> charged_;
  std::map<std::uint64_t, std::string> groups_;
  std::map<std::pair<Shape, std::uint64_t>, Tree> trees_;
};

}  // namespace cgctl::bench
