// SPDX-FileCopyrightText: The cgctl authors
// SPDX-License-Identifier: MIT
#pragma once

#include <string>

#include "cgctl/holds.hpp"

namespace cgctl::tool::doctor_command {

using holds::Cause;
using holds::Cpu;
using holds::Hold;
using holds::Task;
using holds::Time;
using holds::Total;
using holds::Wait;

/// Returns "kubelet (pid 1234, /system.slice/kubelet.service)".
std::string who(const Task& task);
/// Returns the task's work: "reading /sys/fs/cgroup/memory/memory.numa_stat".
std::string work(const Task& task);

}  // namespace cgctl::tool::doctor_command
