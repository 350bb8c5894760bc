// SPDX-FileCopyrightText: The cgctl authors
// SPDX-License-Identifier: MIT
#pragma once

#include <sys/types.h>

#include <cstddef>
#include <cstdint>
#include <string_view>

struct stat;  // <sys/stat.h>

/// All system calls on kernel files go through these functions. Each makes one system call and
/// returns its result or the negated errno. src/sys.cpp alone defines them, so that a test can link
/// a replacement.
namespace cgctl::sys {

/// openat(2); O_CLOEXEC is always added.
int open_at(int directory, const char* path, int flags, mode_t mode = 0) noexcept;
/// True if a path that contains no link may lead out of its directory. A single name cannot, and
/// RESOLVE_BENEATH would take 5 % of the time of its openat2(2).
inline bool may_leave(std::string_view path) noexcept {
  return path.find('/') != std::string_view::npos || path == "..";
}
/// openat2(2) that stays beneath the directory, follows no link and crosses no mount point
/// (-EXDEV); -ENOSYS before Linux 5.6, -EPERM under old seccomp filters.
int open_beneath(int directory, const char* path, int flags) noexcept;
void close(int fd) noexcept;
/// fcntl(2) F_SETFL.
int set_flags(int fd, int flags) noexcept;
ssize_t pread(int fd, void* buffer, std::size_t size, off_t offset) noexcept;
ssize_t read(int fd, void* buffer, std::size_t size) noexcept;
ssize_t write(int fd, const void* data, std::size_t size) noexcept;
ssize_t getdents64(int fd, void* buffer, std::size_t size) noexcept;
int stat(int fd, struct ::stat& out) noexcept;
/// Does not follow a final symbolic link.
int stat_at(int directory, const char* name, struct ::stat& out) noexcept;
int make_directory_at(int directory, const char* name, mode_t mode) noexcept;
int remove_directory_at(int directory, const char* name) noexcept;
/// fchownat(2); does not follow a final symbolic link. An empty `name` means the directory itself,
/// which may be an O_PATH descriptor.
int change_owner_at(int directory, const char* name, uid_t user, gid_t group) noexcept;
/// fchmodat(2).
int change_mode_at(int directory, const char* name, mode_t mode) noexcept;
/// syncfs(2): writes back the file system that the descriptor is on.
int sync_file_system(int fd) noexcept;
/// sync(2): writes back all file systems.
void sync_all() noexcept;
/// Returns the file system's magic number (statfs(2) f_type) or a negated errno.
std::int64_t file_system(int fd) noexcept;

/// Mounts a file system of the kernel, such as "tracefs", where no path leads to it: fsopen(2),
/// fsmount(2). Returns a descriptor of its root; it is unmounted when the last one is closed.
int mount_nowhere(const char* type) noexcept;

/// bpf(2); `attributes` is a bpf_attr of `size` bytes. A new descriptor has O_CLOEXEC.
int bpf(int command, void* attributes, std::size_t size) noexcept;
/// perf_event_open(2) on one CPU; `attributes` is a perf_event_attr, `group` the descriptor of the
/// group's first event, or -1. O_CLOEXEC is always added.
int perf_event_open(void* attributes, int cpu, int group = -1) noexcept;
/// ioctl(2) with a number or an address.
int control(int fd, unsigned long request, std::uintptr_t argument) noexcept;
/// readlink(2); the result has no final zero.
ssize_t read_link(const char* path, char* out, std::size_t size) noexcept;
/// Maps `size` bytes of a BPF map, of a perf event or of a file, shared, readable and writable; a
/// negated errno.
int map_shared(int fd, std::size_t size, void*& out) noexcept;
void unmap(void* memory, std::size_t size) noexcept;

}  // namespace cgctl::sys
