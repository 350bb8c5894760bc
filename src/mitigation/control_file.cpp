// SPDX-FileCopyrightText: The cgctl authors
// SPDX-License-Identifier: MIT
#include "mitigation/control_file.hpp"

#include <fcntl.h>

#include <cerrno>

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

int write_control(int control, std::string_view text) noexcept {
  for (;;) {
    const ssize_t done = sys::write(control, text.data(), text.size());
    if (done != -EINTR) return done < 0 ? static_cast<int>(-done) : 0;
  }
}

}  // namespace cgctl::detail
