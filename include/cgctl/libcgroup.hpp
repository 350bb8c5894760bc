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

/// The bridge to libcgroup, for programs and administrators that use it: its groups as ours and
/// ours as its own, and its rules engine (cgrules.conf(5)). The CMake target is cgctl::libcgroup;
/// it is there when cgctl was built with CGCTL_LIBCGROUP. For pkg-config: cgctl-libcgroup.
///
/// libcgroup keeps global state and is not safe in several threads: all calls made here wait for
/// each other. Its own calls elsewhere in the program are not kept out.
namespace cgctl::libcgroup {

/// Whether this build has the bridge; without it every function fails with errc::unsupported.
bool is_available() noexcept;

struct Free {
  void operator()(::cgroup* group) const noexcept;
};
using Handle = std::unique_ptr<::cgroup, Free>;

/// What a return code of libcgroup means: its ECG... codes as kinds of errors, with the errno that
/// stands for the same where it knows none. `os_errno` is cgroup_get_last_errno() at once after
/// the call, which counts for ECGOTHER only.
Error error_of(int code, int os_errno, const char* operation, std::string path);

/// A new `struct cgroup` with the controllers and settings of a cgroup. errc::outside for a path
/// that leaves the hierarchies; errc::invalid_argument for the name of a file or controller that is
/// empty, "." or ".." or has a "/" in it, and for what libcgroup would cut short: a path or file
/// name of 4,096 bytes or more, a value of 4,096, a controller of 32, a NUL byte, more than 100
/// controllers or 100 values of one.
[[nodiscard]] Result<Handle> to_libcgroup(const tree::Cgroup& cgroup);

/// The controllers of `names` that a `struct cgroup` has, with their settings. It can be asked
/// neither for its own name, which is `path`, nor for its controllers.
[[nodiscard]] Result<tree::Cgroup> from_libcgroup(::cgroup* group, std::string_view path,
                                                  const std::vector<std::string>& names);

/// Where a process is, or was put, in one hierarchy.
struct Move {
  std::string hierarchy;  ///< its controllers: "cpu,cpuacct"
  std::string from;
  std::string to;
};

enum class Purpose {
  move,  ///< the process with all its threads is moved
  ask,   ///< nothing is moved; what a template would make is made for a moment and removed again
};

/// Puts each process where the first rule for its user, group and name in /etc/cgrules.conf and
/// /etc/cgrules.d says. For each: in which hierarchies that is elsewhere than it was; none where no
/// rule says so. The destination must exist, unless it is a template (%u, %p, ...), which is made
/// as cgconfig.conf describes it. A process that cannot be put there is moved back, the others are
/// moved all the same. Needs the privilege to move them.
///
/// Rules are libcgroup's matter: its rules engine finds the destination. For Purpose::ask it moves
/// a child of the calling process in their place.
///
/// errc::malformed for rules that libcgroup does not understand; ESRCH when there is no such
/// process.
std::vector<Result<std::vector<Move>>> classify(const Host& host,
                                                const std::vector<pid_t>& processes,
                                                Purpose purpose);

/// classify() of one process that is about to become `program`: rules for that name count.
[[nodiscard]] Result<std::vector<Move>> classify_as(const Host& host, pid_t process,
                                                    const std::string& program);

enum class Daemon {
  leave_alone,  ///< cgrulesengd(8) moves neither the process nor its children
  may_move,     ///< as without being told
};

/// Tells cgrulesengd(8) what to do with a process. An error when it does not run.
[[nodiscard]] Status register_with_daemon(pid_t process, Daemon what);

}  // namespace cgctl::libcgroup
