// SPDX-FileCopyrightText: The cgctl authors
// SPDX-License-Identifier: MIT
#include "mitigation/control_file.hpp"

#include <fcntl.h>

#include "cgctl/filesystem.hpp"

namespace cgctl::detail {

Result<UniqueFd> open_control(const char* what, const std::string& root, const char* path,
                              std::int64_t magic) {
  auto fd = fs::open_in_root(root, path, O_WRONLY);
  if (!fd || sys::file_system(fd->get()) == magic) return fd;
  const bool proc = magic == fs::proc_magic;
  return fail(Error::make(
      errc::outside, what, fs::join(root, path),
      proc ? "not a file of procfs" : "not a file of sysfs",
      std::string("nothing was written; check ") + (proc ? "Roots::proc" : "Roots::sys")));
}

}  // namespace cgctl::detail
