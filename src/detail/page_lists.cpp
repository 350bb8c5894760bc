// SPDX-FileCopyrightText: The cgctl authors
// SPDX-License-Identifier: MIT
#include "detail/page_lists.hpp"

#include <linux/mempolicy.h>
#include <sys/syscall.h>
#include <unistd.h>

#include <array>
#include <climits>

namespace cgctl::detail {

void drain_page_lists() noexcept {
  constexpr unsigned long most_nodes = 1024;  // CONFIG_NODES_SHIFT is at most 10
  std::array<unsigned long, most_nodes / (sizeof(unsigned long) * CHAR_BIT)> nodes{};
  if (::syscall(SYS_get_mempolicy, nullptr, nodes.data(), most_nodes, nullptr,
                MPOL_F_MEMS_ALLOWED) == 0) {
    ::syscall(SYS_migrate_pages, 0, most_nodes, nodes.data(), nodes.data());
  }
}

}  // namespace cgctl::detail
