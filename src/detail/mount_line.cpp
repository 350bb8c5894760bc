// SPDX-FileCopyrightText: The cgctl authors
// SPDX-License-Identifier: MIT
#include "detail/mount_line.hpp"

#include <sys/sysmacros.h>

#include <algorithm>
#include <cstdint>

#include "cgctl/parse.hpp"

namespace cgctl::detail {
namespace {

/// Converts "MAJOR:MINOR" to a device number.
dev_t device_of(std::string_view text) {
  std::uint64_t major = 0;
  std::uint64_t minor = 0;
  if (!parse::number(text, major) || text.empty()) return 0;
  text.remove_prefix(1);
  parse::number(text, minor);
  return makedev(static_cast<unsigned>(major), static_cast<unsigned>(minor));
}

}  // namespace

std::string unescape(std::string_view text) {
  if (text.find('\\') == std::string_view::npos) return std::string(text);
  const auto is_octal = [](char c) { return c >= '0' && c <= '7'; };
  std::string plain;
  for (std::size_t i = 0; i < text.size(); ++i) {
    if (text[i] == '\\' && i + 3 < text.size() && is_octal(text[i + 1]) && is_octal(text[i + 2]) &&
        is_octal(text[i + 3])) {
      plain.push_back(static_cast<char>((text[i + 1] - '0') * 64 + (text[i + 2] - '0') * 8 +
                                        (text[i + 3] - '0')));
      i += 3;
    } else {
      plain.push_back(text[i]);
    }
  }
  return plain;
}

MountLine parse_mount_line(std::string_view line) {
  for (int skipped = 0; skipped < 2; ++skipped) parse::field(line);
  MountLine mount;
  mount.device = device_of(parse::field(line));
  mount.root = parse::field(line);
  mount.mount_point = parse::field(line);
  std::string_view optional_field = parse::field(line);
  while (!optional_field.empty() && optional_field != "-") optional_field = parse::field(line);
  mount.type = parse::field(line);
  // mount("", ...) leaves the source empty: two adjacent spaces.
  line.remove_prefix(std::min(line.find(' ', 1), line.size()));
  mount.options = parse::field(line);
  return mount;
}

}  // namespace cgctl::detail
