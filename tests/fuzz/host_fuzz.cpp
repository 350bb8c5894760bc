// SPDX-FileCopyrightText: The cgctl authors
// SPDX-License-Identifier: MIT
#include <cstdlib>

#include "cgctl/host.hpp"

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  const std::string_view text(reinterpret_cast<const char*>(data), size);
  for (const auto& mount : cgctl::parse_mountinfo(text)) {
    if (mount.mount_point.size() > text.size() || mount.root.size() > text.size()) std::abort();
  }
  for (const auto& row : cgctl::parse_proc_cgroups(text)) {
    if (row.name.empty() || row.name.front() == '#') std::abort();
  }
  for (const auto& row : cgctl::parse_membership(text)) {
    if (row.path.find('\n') != std::string::npos) std::abort();
  }
  return 0;
}
