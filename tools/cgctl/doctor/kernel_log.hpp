// SPDX-FileCopyrightText: The cgctl authors
// SPDX-License-Identifier: MIT
#pragma once

#include <chrono>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

namespace cgctl::tool::doctor_command {

/// A process that the OOM killer killed because a cgroup reached its limit.
struct OomKill {
  std::string path;                                ///< cgroup of the process
  std::optional<std::chrono::seconds> after_boot;  ///< absent if the log has no times
};

/// Returns the kills of memory cgroups that a kernel log tells, the oldest first: lines with
/// "oom-kill:constraint=CONSTRAINT_MEMCG" (since Linux 5.0, mm/oom_kill.c, dump_oom_summary).
std::vector<OomKill> oom_kills(std::string_view log);

/// Returns the newest part of the kernel's log, at most 1 MiB; empty if it cannot be read, which
/// needs CAP_SYSLOG where kernel.dmesg_restrict is 1.
std::string read_kernel_log();

}  // namespace cgctl::tool::doctor_command
