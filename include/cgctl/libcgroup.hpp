// SPDX-FileCopyrightText: The cgctl authors
// SPDX-License-Identifier: MIT
#pragma once

#include <sys/types.h>

#include <memory>
#include <string>
#include <string_view>
#include <vector>

#include "cgctl/error.hpp"
#include "cgctl/host.hpp"
#include "cgctl/tree.hpp"

struct cgroup;

/// Bridge to libcgroup: converts cgroups between the two libraries and uses libcgroup's rules
/// engine (cgrules.conf(5)). The CMake target is cgctl::libcgroup, available if cgctl was built
/// with CGCTL_LIBCGROUP; the pkg-config name is cgctl-libcgroup.
///
/// libcgroup keeps global state and is not thread-safe. A lock serialises the calls made through
/// this bridge, but not calls that the program makes to libcgroup directly.
namespace cgctl::libcgroup {

/// True if this build has the bridge; without it every function fails with errc::unsupported.
bool is_available() noexcept;

struct Free {
  void operator()(::cgroup* group) const noexcept;
};
using Handle = std::unique_ptr<::cgroup, Free>;

/// Converts a return code of libcgroup (ECG...) to an error, with an equivalent errno for codes
/// that have none. `os_errno` is cgroup_get_last_errno() right after the call; it is used for
/// ECGOTHER only.
Error error_of(int code, int os_errno, const char* operation, std::string path);

/// Makes a `struct cgroup` with the controllers and settings of a cgroup. errc::outside for a path
/// that leaves the hierarchies. errc::invalid_argument for a file or controller name that is empty,
/// "." or ".." or contains a "/", and for anything libcgroup would truncate: a path, file name or
/// value of 4,096 bytes or more, a controller name of 32 or more, a NUL byte, more than 100
/// controllers, or more than 100 values of one controller.
[[nodiscard]] Result<Handle> to_libcgroup(const tree::Cgroup& cgroup);

/// Returns the controllers of `names` that a `struct cgroup` has, with their settings. The caller
/// gives `path` and `names` because libcgroup offers no way to ask a `struct cgroup` for its name
/// or its controllers.
[[nodiscard]] Result<tree::Cgroup> from_libcgroup(::cgroup* group, std::string_view path,
                                                  const std::vector<std::string>& names);

/// A process's move in one hierarchy.
struct Move {
  std::string hierarchy;  ///< its controllers: "cpu,cpuacct"
  std::string from;
  std::string to;
};

enum class Purpose {
  move,  ///< move the process with all its threads
  ask,   ///< move nothing; cgroups that a template would make are made briefly and removed
};

/// Moves each process to the destination of the first rule for its user, group and name in
/// /etc/cgrules.conf and /etc/cgrules.d. Returns for each process its moves to a different cgroup;
/// none if no rule matches. The destination must exist, unless it is a template (%u, %p, ...),
/// which is made as cgconfig.conf describes it. A process that cannot be moved is moved back; the
/// others are still moved. Needs the privilege to move them.
///
/// libcgroup's rules engine finds the destination. For Purpose::ask it moves a child of the calling
/// process instead.
///
/// errc::malformed for rules that libcgroup does not understand; ESRCH if there is no such process.
std::vector<Result<std::vector<Move>>> classify(const Host& host,
                                                const std::vector<pid_t>& processes,
                                                Purpose purpose);

/// Classifies one process that is about to execute `program`: applies the rules for that name.
[[nodiscard]] Result<std::vector<Move>> classify_as(const Host& host, pid_t process,
                                                    const std::string& program);

enum class Daemon {
  leave_alone,  ///< cgrulesengd(8) moves neither the process nor its children
  may_move,     ///< the default
};

/// Tells cgrulesengd(8) how to treat a process. Fails if cgrulesengd does not run.
[[nodiscard]] Status register_with_daemon(pid_t process, Daemon what);

}  // namespace cgctl::libcgroup
