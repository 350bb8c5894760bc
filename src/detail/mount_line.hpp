// SPDX-FileCopyrightText: The cgctl authors
// SPDX-License-Identifier: MIT
#pragma once

#include <sys/types.h>

#include <string>
#include <string_view>

namespace cgctl::detail {

/// One line of mountinfo; the texts are still escaped.
struct MountLine {
  dev_t device = 0;
  std::string_view root;
  std::string_view mount_point;
  std::string_view type;
  std::string_view options;  ///< of the file system, not of the mount
};

MountLine parse_mount_line(std::string_view line);

/// Decodes mountinfo's escapes, such as \040 for a space.
std::string unescape(std::string_view text);

}  // namespace cgctl::detail
