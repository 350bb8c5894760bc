// SPDX-FileCopyrightText: The cgctl authors
// SPDX-License-Identifier: MIT
#include "cgctl/detail/sys.hpp"

#include <fcntl.h>
#include <linux/openat2.h>
#include <sys/ioctl.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/vfs.h>
#include <unistd.h>

#include <cerrno>

namespace cgctl::sys {
namespace {

template <class T>
T result(T value) noexcept {
  return value < 0 ? static_cast<T>(-errno) : value;
}

}  // namespace

int open_at(int directory, const char* path, int flags, mode_t mode) noexcept {
  return result(::openat(directory, path, flags | O_CLOEXEC, mode));
}

int open_beneath(int directory, const char* path, int flags) noexcept {
  open_how how{};
  how.flags = static_cast<__u64>(flags | O_CLOEXEC);
  how.resolve = RESOLVE_NO_SYMLINKS | RESOLVE_NO_XDEV;
  if (may_leave(path)) how.resolve |= RESOLVE_BENEATH;
  return result(static_cast<int>(::syscall(SYS_openat2, directory, path, &how, sizeof how)));
}

void close(int fd) noexcept { ::close(fd); }

int set_flags(int fd, int flags) noexcept { return result(::fcntl(fd, F_SETFL, flags)); }

ssize_t pread(int fd, void* buffer, std::size_t size, off_t offset) noexcept {
  return result(::pread(fd, buffer, size, offset));
}

ssize_t read(int fd, void* buffer, std::size_t size) noexcept {
  return result(::read(fd, buffer, size));
}

ssize_t write(int fd, const void* data, std::size_t size) noexcept {
  return result(::write(fd, data, size));
}

ssize_t getdents64(int fd, void* buffer, std::size_t size) noexcept {
  return result(static_cast<ssize_t>(::syscall(SYS_getdents64, fd, buffer, size)));
}

int stat(int fd, struct ::stat& out) noexcept { return result(::fstat(fd, &out)); }

int stat_at(int directory, const char* name, struct ::stat& out) noexcept {
  return result(::fstatat(directory, name, &out, AT_SYMLINK_NOFOLLOW));
}

int make_directory_at(int directory, const char* name, mode_t mode) noexcept {
  return result(::mkdirat(directory, name, mode));
}

int remove_directory_at(int directory, const char* name) noexcept {
  return result(::unlinkat(directory, name, AT_REMOVEDIR));
}

int change_owner_at(int directory, const char* name, uid_t user, gid_t group) noexcept {
  return result(::fchownat(directory, name, user, group, AT_SYMLINK_NOFOLLOW | AT_EMPTY_PATH));
}

int change_mode_at(int directory, const char* name, mode_t mode) noexcept {
  return result(::fchmodat(directory, name, mode, 0));
}

int sync_file_system(int fd) noexcept { return result(::syncfs(fd)); }

void sync_all() noexcept { ::sync(); }

std::int64_t file_system(int fd) noexcept {
  struct ::statfs out {};
  const int status = result(::fstatfs(fd, &out));
  return status < 0 ? status : static_cast<std::int64_t>(out.f_type);
}

int mount_nowhere(const char* type) noexcept {
  // glibc has these since 2.36; FSOPEN_CLOEXEC, FSMOUNT_CLOEXEC and FSCONFIG_CMD_CREATE.
  constexpr unsigned close_on_exec = 1;
  constexpr unsigned create = 6;
  const int context = result(static_cast<int>(::syscall(SYS_fsopen, type, close_on_exec)));
  if (context < 0) return context;
  int status =
      result(static_cast<int>(::syscall(SYS_fsconfig, context, create, nullptr, nullptr, 0)));
  if (status == 0) {
    status = result(static_cast<int>(::syscall(SYS_fsmount, context, close_on_exec, 0)));
  }
  ::close(context);
  return status;
}

int bpf(int command, void* attributes, std::size_t size) noexcept {
  return result(static_cast<int>(::syscall(SYS_bpf, command, attributes, size)));
}

int perf_event_open(void* attributes, int cpu, int group) noexcept {
  constexpr int every_process = -1;
  constexpr unsigned long close_on_exec = 8;  // PERF_FLAG_FD_CLOEXEC
  return result(static_cast<int>(
      ::syscall(SYS_perf_event_open, attributes, every_process, cpu, group, close_on_exec)));
}

int control(int fd, unsigned long request, std::uintptr_t argument) noexcept {
  return result(::ioctl(fd, request, argument));
}

ssize_t read_link(const char* path, char* out, std::size_t size) noexcept {
  return result(::readlink(path, out, size));
}

int map_shared(int fd, std::size_t size, void*& out) noexcept {
  out = ::mmap(nullptr, size, PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);
  return out == MAP_FAILED ? -errno : 0;
}

void unmap(void* memory, std::size_t size) noexcept { ::munmap(memory, size); }

}  // namespace cgctl::sys
