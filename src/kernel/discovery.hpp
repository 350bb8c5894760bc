// SPDX-FileCopyrightText: The cgctl authors
// SPDX-License-Identifier: MIT
#pragma once

#include "cgctl/error.hpp"
#include "cgctl/host.hpp"
#include "kernel/layout.hpp"

namespace cgctl::kernel {

/// Finds the offsets by experiments in four cgroups below one that it makes, /cgctl-discovery-PID,
/// and removes at the end; also those of earlier calls that were killed. A child process does the
/// experiments. `nodes`: the NUMA nodes whose LRU lists are looked for; 0: counters instead of
/// lists. errc::unsupported names a field that was not found.
[[nodiscard]] Result<Layout> discover_layout(const Host& host, const Hierarchy& hierarchy,
                                             unsigned nodes);

}  // namespace cgctl::kernel
