// SPDX-FileCopyrightText: The cgctl authors
// SPDX-License-Identifier: MIT
#pragma once

#include <dirent.h>
#include <fcntl.h>
#include <sys/stat.h>

#include <algorithm>
#include <string>
#include <string_view>
#include <vector>

#include "cgctl/filesystem.hpp"
#include "detail/directory.hpp"

namespace cgctl::detail {

/// Lists the files in `directory`, without its directories, in the kernel's order: all of them, or
/// an error.
inline Result<std::vector<std::string>> file_names(int directory, std::string_view shown) {
  // A new open file description has its own position, so that other listings of the directory are
  // not disturbed.
  const auto listed = fs::open_beneath(directory, ".", O_RDONLY | O_DIRECTORY, shown);
  if (!listed) return fail(listed.error());
  const auto is_directory = [&](const char* name, unsigned char type) -> int {
    if (type != DT_UNKNOWN) return type == DT_DIR ? 1 : 0;
    struct ::stat found {};
    const int status = sys::stat_at(listed->get(), name, found);
    return status < 0 ? status : static_cast<int>(S_ISDIR(found.st_mode));
  };
  std::vector<std::string> names;
  const auto buffer = make_entries();
  const int status = each_entry(listed->get(), *buffer, [&](const char* name, unsigned char type) {
    const int kind = is_directory(name, type);
    if (kind == 0) names.emplace_back(name);
    return is_gone(kind) ? 0 : std::min(kind, 0);
  });
  if (status < 0) return fail(fs::system_error("list", shown, -status));
  return names;
}

}  // namespace cgctl::detail
