// SPDX-FileCopyrightText: The cgctl authors
// SPDX-License-Identifier: MIT
#pragma once

#include <chrono>

#include "cgctl/error.hpp"
#include "cgctl/host.hpp"
#include "detail/isolated.hpp"

namespace cgctl::detail {

/// The ways in which vendors' kernels free zombies by themselves.
enum class Reaper {
  none,
  once,        ///< memcg_reaper/reap: one round at each write (Alibaba; memcg_zombie_reaper.rst)
  background,  ///< memcg_reaper/reap_background: a thread that can be switched on (the same)
  dying,       ///< vm.clean_dying_memcg_async: a thread that can be switched on (TencentOS)
  threshold,   ///< that thread runs already, and is woken by a low vm.clean_dying_memcg_threshold
};

/// Returns the reaper that this kernel has and that this process may use. A reaper that runs in the
/// background already is left alone.
Reaper reaper_of(const Host& host);

/// Frees zombies by the kernel's reaper. A setting that is changed for that is restored: by the
/// child process, also if this process dies meanwhile, or by this process if the child dies.
Result<std::chrono::nanoseconds> reap(const Host& host, Isolation how);

}  // namespace cgctl::detail
