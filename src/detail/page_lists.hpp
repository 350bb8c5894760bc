// SPDX-FileCopyrightText: The cgctl authors
// SPDX-License-Identifier: MIT
#pragma once

namespace cgctl::detail {

/// Moves pages from the per-CPU lists to the LRU lists, where reclaim and drop_caches find them.
/// Kernels without memory.reclaim (before Linux 5.19) do not drain the per-CPU lists before
/// reclaim, and drop_caches does not before 6.6. This calls migrate_pages(2) with nothing to
/// migrate, which drains the lists first (migrate_prep() in mm/migrate.c, lru_cache_disable() since
/// 5.13). Without effect if the call is not permitted. Makes system calls only.
void drain_page_lists() noexcept;

}  // namespace cgctl::detail
