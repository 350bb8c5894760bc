// SPDX-FileCopyrightText: The cgctl authors
// SPDX-License-Identifier: MIT
#pragma once

#include <optional>

#include "cgctl/host.hpp"

namespace cgctl::detail {

/// True if the kernel moves the pages of a removed memory cgroup to its parent, so that page cache
/// keeps no zombies (Linux 7.1; a vendor's kernel may do so earlier). Tests the kernel: makes a
/// cgroup, charges a page to it, and removes it while the page is held. Takes up to a second if the
/// answer is no. Nothing if it cannot be tested: on v1, which does not count removed cgroups
/// separately, or without the right to make a cgroup.
std::optional<bool> reparents_pages(const Host& host);

}  // namespace cgctl::detail
