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

/// Helpers shared by the sources of Group.
namespace cgctl::detail {

/// Builds the errc::vanished error for a cgroup that does not exist.
Error gone(const char* operation, std::string shown);

/// Fails with errc::outside if `directory` is not on a cgroup file system. In a captured tree, for
/// example, process numbers would belong to other processes of this machine.
Status require_cgroupfs(int directory, const char* operation, std::string_view shown);

/// Fails if Group::create() would be refused on cgroup v2 because a cgroup above has processes of
/// its own. Writes nothing.
Status check_creation(const Host& host, std::string_view path,
                      const std::vector<std::string>& controllers);

/// Adds the broken rule to the error of writing `task` ("process 12") to cgroup.procs or a similar
/// file.
Error attach_error(Error error, const std::string& task, Version version);

/// Returns the processes in the cgroup at `directory`; 0 stands for a process of another PID
/// namespace.
Result<std::vector<pid_t>> processes_in(int directory, std::string_view shown, int open_flags);

/// Adds the processes in a cgroup and in all cgroups below; skips cgroups that are removed
/// meanwhile.
Status add_processes_below(int directory, const std::string& shown, std::vector<pid_t>& out,
                           int open_flags = 0);

}  // namespace cgctl::detail
