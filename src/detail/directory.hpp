// SPDX-FileCopyrightText: The cgctl authors
// SPDX-License-Identifier: MIT
#pragma once

#include <dirent.h>
#include <fcntl.h>
#include <sys/stat.h>

#include <array>
#include <cerrno>
#include <cstddef>
#include <cstdint>
#include <cstring>
#include <memory>

#include "cgctl/detail/sys.hpp"
#include "cgctl/unique_fd.hpp"

/// Lists directories with one reused buffer, for walks over tens of thousands of cgroups.
namespace cgctl::detail {

/// Buffer for one getdents64(2).
using Entries = std::array<char, 32768>;

/// Makes a buffer without zeroing it, which would touch all its pages.
inline std::unique_ptr<Entries> make_entries() { return std::unique_ptr<Entries>(new Entries); }

/// True if a negated errno means that the cgroup was removed.
inline bool is_gone(int status) noexcept { return status == -ENOENT || status == -ENODEV; }

/// True if a negated errno means that the process or the machine is out of descriptors.
inline bool too_many_are_open(int status) noexcept {
  return status == -EMFILE || status == -ENFILE;
}

/// True if the link count proves that a directory has no subdirectories, so that it need not be
/// opened: kernfs keeps st_nlink = 2 + subdirectories (fs/kernfs/inode.c). False on file systems
/// without such link counts (st_nlink 1).
inline bool is_leaf(const struct ::stat& directory) noexcept { return directory.st_nlink == 2; }

/// Calls `visit(name, type)` for each entry of `fd` (opened for reading, at its start), "." and
/// ".." included. Returns 0 or a negated errno, of getdents64(2) or the first that `visit` returns.
template <class Visit>
int each_entry(int fd, Entries& buffer, Visit visit) {
  for (;;) {
    const ssize_t got = sys::getdents64(fd, buffer.data(), buffer.size());
    if (got == -EINTR) continue;
    if (got <= 0) return static_cast<int>(got);
    for (ssize_t at = 0; at < got;) {
      // The layout of linux_dirent64 in getdents(2): d_ino, d_off, d_reclen, d_type, d_name.
      const char* const entry = buffer.data() + at;
      std::uint16_t length = 0;
      std::memcpy(&length, entry + 16, sizeof length);
      at += length;
      const int status = visit(entry + 19, static_cast<unsigned char>(entry[18]));
      if (status < 0) return status;
    }
  }
}

/// Calls `visit(name, stat)` for each directory inside `fd` (opened for reading, at its start).
/// Leaves out entries that are removed meanwhile; if `fd` itself is removed, the list ends. Returns
/// 0, or a negated errno if the list is not complete.
template <class Visit>
int each_subdirectory(int fd, Entries& buffer, Visit visit) {
  const int status = each_entry(fd, buffer, [&](const char* name, unsigned char type) {
    if (type != DT_DIR && type != DT_UNKNOWN) return 0;
    if (name[0] == '.' && (name[1] == '\0' || (name[1] == '.' && name[2] == '\0'))) return 0;
    struct ::stat found {};
    const int looked = sys::stat_at(fd, name, found);
    if (looked < 0) return is_gone(looked) ? 0 : looked;
    if (S_ISDIR(found.st_mode)) visit(name, static_cast<const struct ::stat&>(found));
    return 0;
  });
  return is_gone(status) ? 0 : status;
}

/// Returns 1 if there is a directory inside `directory` (which may be an O_PATH descriptor), 0 if
/// not, or a negated errno.
inline int has_subdirectories(int directory) {
  struct ::stat found {};
  if (const int status = sys::stat(directory, found); status < 0) return status;
  if (found.st_nlink >= 2) return found.st_nlink > 2 ? 1 : 0;
  const int opened = sys::open_at(directory, ".", O_RDONLY | O_DIRECTORY);
  if (opened < 0) return opened;
  const UniqueFd listed(opened);
  const auto buffer = make_entries();
  int inside = 0;
  const int status = each_subdirectory(listed.get(), *buffer,
                                       [&](const char*, const struct ::stat&) { inside = 1; });
  return status < 0 ? status : inside;
}

}  // namespace cgctl::detail
