// SPDX-FileCopyrightText: The cgctl authors
// SPDX-License-Identifier: MIT
#pragma once

#include <sys/types.h>

#include <string>
#include <string_view>
#include <vector>

#include "cgctl/error.hpp"
#include "cgctl/group.hpp"
#include "cgctl/host.hpp"

/// What the parts of Group share.
namespace cgctl::detail {

/// errc::vanished: there is no such cgroup.
Error gone(const char* operation, std::string shown);

/// errc::outside, with nothing done, when `directory` is not on a cgroup file system: a captured
/// tree, say, where directories and numbers of processes mean others'.
Status require_cgroupfs(int directory, const char* operation, std::string_view shown);

/// The rule behind a failed write of `task` ("process 12") to a cgroup.procs, or to a file like it.
Error attach_error(Error error, const std::string& task, Version version);

/// The processes in the cgroup at `directory`.
Result<std::vector<pid_t>> processes_in(int directory, std::string_view shown);

/// Those in it and in all cgroups below; what is removed meanwhile is passed by.
Status add_processes_below(int directory, const std::string& shown, std::vector<pid_t>& out);

/// A directory that was made, or a controller of v2 that was enabled, inside `parent`.
struct Made {
  const Hierarchy* hierarchy;  ///< of a Host that outlives it
  std::string parent;          ///< relative to the hierarchy's root
  std::string what;            ///< the directory's name, or the controller
  bool is_directory;
};

/// Group::create(), which adds to `made` what it has made.
Result<Group> create(const Host& host, std::string_view path, const Creation& how,
                     std::vector<Made>& made);

/// Undoes it, the last first, as far as possible; the first error, if any.
Status unmake(const std::vector<Made>& made);

}  // namespace cgctl::detail
