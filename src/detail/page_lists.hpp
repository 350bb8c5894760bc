// SPDX-FileCopyrightText: The cgctl authors
// SPDX-License-Identifier: MIT
#pragma once

namespace cgctl::detail {

/// Has the pages that wait in lists of each CPU put where reclaim and drop_caches find them. Those
/// pass the lists by, memory.reclaim before Linux 5.19 for want of it, drop_caches before 6.6. The
/// means is migrate_pages(2) with nothing to migrate, which drains them first (migrate_prep() in
/// mm/migrate.c, lru_cache_disable() since 5.13). Without effect where the call is not permitted.
/// System calls only.
void drain_page_lists() noexcept;

}  // namespace cgctl::detail
