// SPDX-FileCopyrightText: The cgctl authors
// SPDX-License-Identifier: MIT
#pragma once

#include <functional>

#include "cgctl/census.hpp"
#include "cgctl/host.hpp"
#include "kernel/layout.hpp"

namespace cgctl::kernel {

/// Takes a census with at least the figures wanted into the snapshot that it is given.
using Take = std::function<Status(census::Snapshot&, const census::Wanted&)>;

/// Compares censuses with what the file system says meanwhile. errc::malformed names the first
/// thing that differs: a live cgroup without a directory of its path and inode, a directory that
/// was not found, a usage, the total, the order of serial numbers and ages, a reference count, the
/// memory of a NUMA node or of the machine. What comes, goes or moves during the comparison is
/// compared again, up to `rounds` times in about three seconds. `known`: the counters that a census
/// has. A usage that is never above the memory held in advance, or a counter that no cgroup has, is
/// proved to be small and no more.
[[nodiscard]] Status prove(const Host& host, const Hierarchy& hierarchy, const Slots& known,
                           const Take& take, unsigned rounds = 6);

}  // namespace cgctl::kernel
