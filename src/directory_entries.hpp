// SPDX-FileCopyrightText: The cgctl authors
// SPDX-License-Identifier: MIT
#pragma once

#include <dirent.h>
#include <fcntl.h>

#include <cerrno>
#include <memory>
#include <string>
#include <string_view>
#include <vector>

#include "cgctl/filesystem.hpp"

namespace cgctl::detail {

/// The names of what is in `directory` and no directory itself, in the kernel's order.
inline Result<std::vector<std::string>> file_names(int directory, std::string_view shown) {
  // A description of its own, so that others who list the directory are not disturbed.
  auto listed = fs::open_beneath(directory, ".", O_RDONLY | O_DIRECTORY, shown);
  if (!listed) return fail(listed.error());
  const std::unique_ptr<DIR, int (*)(DIR*)> list(::fdopendir(listed->get()), ::closedir);
  if (!list) return fail(fs::system_error("list", shown, errno));
  (void)listed->release();
  std::vector<std::string> names;
  while (const dirent* const entry = ::readdir(list.get())) {
    if (entry->d_type != DT_DIR) names.emplace_back(static_cast<const char*>(entry->d_name));
  }
  return names;
}

}  // namespace cgctl::detail
