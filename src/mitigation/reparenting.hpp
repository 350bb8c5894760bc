// SPDX-FileCopyrightText: The cgctl authors
// SPDX-License-Identifier: MIT
#pragma once

#include <optional>

#include "cgctl/host.hpp"

namespace cgctl::detail {

/// Whether the kernel hands the pages of a removed memory cgroup to the cgroup above, so that no
/// page cache keeps it (Linux 7.1; a vendor's kernel may have it before). Asked of the kernel: a
/// cgroup made for the moment is removed while a page charged to it is held. Takes up to a second
/// where the answer is no. Nothing where it cannot be asked: on v1, which does not count removed
/// cgroups apart, and without the right to make a cgroup.
std::optional<bool> reparents_pages(const Host& host);

}  // namespace cgctl::detail
