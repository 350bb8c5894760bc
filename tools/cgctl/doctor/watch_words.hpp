// SPDX-FileCopyrightText: The cgctl authors
// SPDX-License-Identifier: MIT
#pragma once

#include <string>

#include "cgctl/holds.hpp"

namespace cgctl::tool::doctor_command {

/// Returns "kubelet (pid 1234, /system.slice/kubelet.service)".
std::string who(const holds::Task& task);
/// Returns the task's work: "reading /sys/fs/cgroup/memory/memory.numa_stat".
std::string work(const holds::Task& task);

}  // namespace cgctl::tool::doctor_command
