// SPDX-FileCopyrightText: The cgctl authors
// SPDX-License-Identifier: MIT
#pragma once

#include <sys/types.h>

#include <functional>
#include <optional>
#include <string>
#include <vector>

#include "cgctl/group.hpp"
#include "cgctl/names.hpp"
#include "stat/sample.hpp"

namespace cgctl::tool::stat_command {

/// One of the sampled cgroups.
struct Target {
  std::string path;
  std::optional<Group> group;  ///< kept open for a named cgroup; empty: it is gone
  names::Names names;
  bool named = false;   ///< on the command line
  bool is_new = false;  ///< the last round found it, or found it again
  bool sampled = false;
  ino_t inode =
      0;  ///< of its directory in the first hierarchy; tells a new cgroup of the same name
  Sample last;
  std::string said;  ///< last warning about a file that could not be read
};

/// A cgroup with two samples.
struct Pair {
  const Target* target = nullptr;
  Sample before;
  Sample now;
};

/// The cgroups that `stat` samples.
class Targets {
 public:
  using Say = std::function<void(const std::string&)>;

  /// Opens the cgroups and takes their first samples, with all below if `recursive`. `say` gets
  /// the warnings.
  [[nodiscard]] static Result<Targets> open(const Host& host, names::Resolver resolver,
                                            const std::vector<std::string>& paths, bool recursive,
                                            Say say);

  /// Samples all cgroups; returns those that have an earlier sample to compare with, in the order
  /// of the command line, those below one after it. A removed cgroup is looked for again in the
  /// next round.
  [[nodiscard]] std::vector<Pair> round();

  void set_say(Say say) { say_ = std::move(say); }

 private:
  Targets(const Host& host, names::Resolver resolver, bool recursive, Say say)
      : host_(&host), resolver_(std::move(resolver)), recursive_(recursive), say_(std::move(say)) {}

  [[nodiscard]] Status find_below();
  std::optional<Sample> look(Target& target);
  std::optional<Sample> look_named(Target& target);
  std::optional<Sample> look_below(Target& target);
  bool find_again(Target& target);
  void say_unread(Target& target, const Sample& sample);
  void say_once(Target& target, std::string message);
  Target new_target(std::string path);

  const Host* host_;
  names::Resolver resolver_;
  bool recursive_;
  Say say_;
  std::string said_;  ///< last warning about a directory that could not be listed
  std::vector<std::string> named_;
  std::vector<Target> targets_;
};

}  // namespace cgctl::tool::stat_command
