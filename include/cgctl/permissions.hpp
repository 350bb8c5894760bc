// SPDX-FileCopyrightText: The cgctl authors
// SPDX-License-Identifier: MIT
#pragma once

#include <sys/types.h>

#include <optional>
#include <string>
#include <vector>

#include "cgctl/error.hpp"
#include "cgctl/group.hpp"
#include "cgctl/unique_fd.hpp"

/// Owners and modes of a cgroup's files, in the terms of cgconfig.conf(5). For delegation as the
/// kernel documents it, where the administrator keeps the limits, see Creation::owner.
namespace cgctl::permissions {

/// Owner and mode of some files. Absent values stay unchanged.
struct Access {
  std::optional<uid_t> user;
  std::optional<gid_t> group;
  /// Mode bits, 0777. A right that a file's owner does not have beforehand is given to nobody.
  std::optional<mode_t> mode;

  [[nodiscard]] bool empty() const noexcept { return !user && !group && !mode; }
};

struct Permissions {
  Access files;                          ///< all files but v1 `tasks`; also the directory's owner
  std::optional<mode_t> directory_mode;  ///< mode of the directory
  /// The files that take tasks (tasks, cgroup.procs, cgroup.threads); takes precedence over
  /// `files`.
  Access tasks;

  [[nodiscard]] bool empty() const noexcept {
    return files.empty() && !directory_mode && tasks.empty();
  }
};

/// Finds a user by name or number in /etc/passwd, the only source used. A number that is not listed
/// is its own group; a name that is not listed gives nothing.
std::optional<Owner> find_user(const std::string& name);
/// Finds a group by name or number in /etc/group.
std::optional<gid_t> find_group(const std::string& name);

/// Returns the name of a user or group, or the number as text if it is not listed.
std::string user_name(uid_t user);
std::string group_name(gid_t group);

/// The owner and mode of a file before a change.
struct Previous {
  std::string file;  ///< "" means the directory
  int directory;     ///< descriptor of a Group that outlives this
  uid_t user;
  gid_t group;
  mode_t mode;
};

/// Returns the files that set() would change.
[[nodiscard]] Result<std::vector<Previous>> differing(const Group& group,
                                                      const Permissions& wanted);

/// Sets owners and modes in every hierarchy of `group`, all or none. Returns the files changed,
/// with their previous owners and modes.
[[nodiscard]] Result<std::vector<Previous>> set(const Group& group, const Permissions& wanted);

/// Undoes set(). Returns the first error.
[[nodiscard]] Status restore(const std::vector<Previous>& changed);

}  // namespace cgctl::permissions
