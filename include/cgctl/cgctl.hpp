// SPDX-FileCopyrightText: The cgctl authors
// SPDX-License-Identifier: MIT
#pragma once

#include "cgctl/detail/language.hpp"  // first: says which C++ is needed

/// Includes every header but cgctl/libcgroup.hpp and cgctl/systemd.hpp, which have CMake targets of
/// their own, and those that only few programs need, to compile fast: cpuset.hpp, holds.hpp,
/// io.hpp, mitigator.hpp, numa_guarded.hpp, peers.hpp, pids.hpp and trend.hpp.
#include "cgctl/cgconfig.hpp"           // IWYU pragma: export
#include "cgctl/cpu.hpp"                // IWYU pragma: export
#include "cgctl/error.hpp"              // IWYU pragma: export
#include "cgctl/filesystem.hpp"         // IWYU pragma: export
#include "cgctl/freezer.hpp"            // IWYU pragma: export
#include "cgctl/group.hpp"              // IWYU pragma: export
#include "cgctl/host.hpp"               // IWYU pragma: export
#include "cgctl/memory.hpp"             // IWYU pragma: export
#include "cgctl/memory_events.hpp"      // IWYU pragma: export
#include "cgctl/memory_snapshot.hpp"    // IWYU pragma: export
#include "cgctl/memory_stat.hpp"        // IWYU pragma: export
#include "cgctl/mitigation.hpp"         // IWYU pragma: export
#include "cgctl/mitigation_policy.hpp"  // IWYU pragma: export
#include "cgctl/numa_stat.hpp"          // IWYU pragma: export
#include "cgctl/parse.hpp"              // IWYU pragma: export
#include "cgctl/permissions.hpp"        // IWYU pragma: export
#include "cgctl/pressure.hpp"           // IWYU pragma: export
#include "cgctl/process.hpp"            // IWYU pragma: export
#include "cgctl/sampler.hpp"            // IWYU pragma: export
#include "cgctl/settings.hpp"           // IWYU pragma: export
#include "cgctl/tree.hpp"               // IWYU pragma: export
#include "cgctl/unique_fd.hpp"          // IWYU pragma: export
#include "cgctl/zombies.hpp"            // IWYU pragma: export
