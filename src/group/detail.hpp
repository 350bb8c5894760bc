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

/// Fails where Group::create() would be refused on cgroup v2 because a cgroup above has processes
/// of its own. Writes nothing.
Status check_creation(const Host& host, std::string_view path,
                      const std::vector<std::string>& controllers);

/// The rule behind a failed write of `task` ("process 12") to a cgroup.procs, or to a file like it.
Error attach_error(Error error, const std::string& task, Version version);

/// The processes in the cgroup at `directory`; 0 stands for one of another PID namespace.
Result<std::vector<pid_t>> processes_in(int directory, std::string_view shown);

/// Those in it and in all cgroups below; what is removed meanwhile is passed by.
Status add_processes_below(int directory, const std::string& shown, std::vector<pid_t>& out);

}  // namespace cgctl::detail
