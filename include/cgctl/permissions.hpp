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

/// Who may do what with the files of a cgroup, as cgconfig.conf(5) has it. To delegate a cgroup as
/// the kernel means it, with its limits left to the administrator, see Creation::owner.
namespace cgctl::permissions {

/// What is absent stays as it is.
struct Access {
  std::optional<uid_t> user;
  std::optional<gid_t> group;
  /// Of files: what their owner may not do is given to nobody. The bits of 0777.
  std::optional<mode_t> mode;

  [[nodiscard]] bool empty() const noexcept { return !user && !group && !mode; }
};

struct Permissions {
  Access files;                          ///< all but v1 `tasks`, and the directory's user and group
  std::optional<mode_t> directory_mode;  ///< of the directory
  Access tasks;  ///< the files that take tasks (tasks, cgroup.procs, cgroup.threads); before files

  [[nodiscard]] bool empty() const noexcept {
    return files.empty() && !directory_mode && tasks.empty();
  }
};

/// A user by name or number, with the group that /etc/passwd gives it, or the same number where it
/// is not listed; nothing for a name that is not. Only /etc/passwd is looked at.
std::optional<Owner> find_user(const std::string& name);
/// The same of /etc/group.
std::optional<gid_t> find_group(const std::string& name);

/// The other way; the number as text where the list does not have it.
std::string user_name(uid_t user);
std::string group_name(gid_t group);

/// What a file was before.
struct Previous {
  std::string file;  ///< "" for the directory
  int directory;     ///< of a Group that outlives it
  uid_t user;
  gid_t group;
  mode_t mode;
};

/// Those that set() would change.
[[nodiscard]] Result<std::vector<Previous>> differing(const Group& group,
                                                      const Permissions& wanted);

/// Sets them in every hierarchy that `group` has: all of it or none. Returns what was changed.
[[nodiscard]] Result<std::vector<Previous>> set(const Group& group, const Permissions& wanted);

/// Takes it back; the first error, if any.
[[nodiscard]] Status restore(const std::vector<Previous>& changed);

}  // namespace cgctl::permissions
