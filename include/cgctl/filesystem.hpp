// SPDX-FileCopyrightText: The cgctl authors
// SPDX-License-Identifier: MIT
#pragma once

#include <fcntl.h>

#include <cerrno>
#include <cstddef>
#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

#include "cgctl/error.hpp"
#include "cgctl/unique_fd.hpp"

/// Opens, reads and writes files. A path from outside the program is opened only beneath a
/// directory descriptor.
namespace cgctl::fs {

/// statfs(2) magic numbers (include/uapi/linux/magic.h).
inline constexpr std::int64_t cgroup_v1_magic = 0x27e0eb;
inline constexpr std::int64_t cgroup_v2_magic = 0x63677270;
inline constexpr std::int64_t proc_magic = 0x9fa0;
inline constexpr std::int64_t sysfs_magic = 0x62656572;

/// A flag beside those of open(2): a device is refused before it is opened, which could start a
/// watchdog or move a tape. For captured trees, at one more system call.
inline constexpr int no_device = 1 << 30;
/// A flag beside those of open(2): the directory is on a cgroup file system, where nothing can
/// block open(2). Saves a system call for each file that is opened for writing.
inline constexpr int on_cgroupfs = 1 << 29;

/// Normalises a relative path to the form "a/b/c" ("." for the directory itself): drops a leading
/// slash, doubled slashes and "." components. errc::outside for a ".." component,
/// errc::invalid_argument for a NUL byte or a component above 255 bytes.
[[nodiscard]] Result<std::string> clean_relative_path(std::string_view path);

/// Opens an absolute path that the caller trusts (a root the user named, a mount point the kernel
/// named). Like open_beneath(), it does not block on a FIFO or a device.
[[nodiscard]] Result<UniqueFd> open_trusted(const std::string& path, int flags);

/// Opens `path` in a root such as Roots::proc or Roots::sys. In a real procfs or sysfs it follows
/// the kernel's own links; elsewhere (a captured tree) it opens the file like open_beneath().
[[nodiscard]] Result<UniqueFd> open_in_root(const std::string& root, std::string_view path,
                                            int flags);

/// Opens the directory `path` below the directory `root` with O_PATH. errc::outside for a ".." or a
/// symbolic link. Unlike open_beneath(), it crosses mount points.
[[nodiscard]] Result<UniqueFd> open_mount_point(const std::string& root, std::string_view path);

/// Opens `path` beneath `directory`: no "..", no absolute path, no symbolic link, and only on the
/// file system instance (st_dev) of `directory`, so that a bind mount or another hierarchy inside
/// it cannot be reached. openat2(2) does this in one call. If the kernel (before 5.6) or a seccomp
/// filter refuses openat2(2), or a mount of the same file system is in the way, the components are
/// opened one by one with O_NOFOLLOW. A path longer than the kernel's limit of 4,095 bytes is
/// opened piece by piece. `shown` is the path in errors.
[[nodiscard]] Result<UniqueFd> open_beneath(int directory, std::string_view path, int flags,
                                            std::string_view shown);

/// Reads a kernel file that is one record from its start into `buffer` and returns a view into
/// `buffer`. One record means that the kernel makes the whole text for a read at offset 0:
/// `memory.stat`, `memory.numa_stat`, `cpu.stat`, `/proc/cgroups`, node `vmstat`. A text that fills
/// the buffer is read again with a larger buffer, so that the result always comes from one read.
/// Once `buffer` is large enough, a call makes one pread(2) and does not allocate. ENODEV becomes
/// errc::vanished; EINTR is retried.
[[nodiscard]] Result<std::string_view> read_once(int fd, std::vector<char>& buffer,
                                                 std::string_view shown);

/// Reads any file to its end, including files that the kernel delivers page by page (`mountinfo`,
/// `cgroup.procs`).
[[nodiscard]] Result<std::string> read_all(int fd, std::string_view shown);

/// open_beneath + read_all.
[[nodiscard]] Result<std::string> read_beneath(int directory, std::string_view path,
                                               std::string_view shown, int more_flags = 0);

/// open_in_root + read_all.
[[nodiscard]] Result<std::string> read_in_root(const std::string& root, std::string_view path);

/// Reads a trusted absolute path.
[[nodiscard]] Result<std::string> read_trusted(const std::string& path);

/// Writes `value` to a kernel file in one write(2). Retries only after EINTR; a short write is an
/// error; EAGAIN is returned to the caller. The descriptor's file system must be one of `magics`;
/// empty: the caller knows that it is the kernel's own.
[[nodiscard]] Status write_once(int fd, std::string_view value, std::string_view shown,
                                std::initializer_list<std::int64_t> magics = {cgroup_v1_magic,
                                                                              cgroup_v2_magic});

enum class Sync { none, to_disk };

/// Replaces the file `path` atomically: writes `text` to a new file `fresh` in the same directory,
/// mode 0644, and renames it. An old file, link, FIFO or device at `fresh` is removed first; a
/// directory there is EISDIR.
[[nodiscard]] Status replace_file(const std::string& path, const std::string& fresh,
                                  std::string_view text, Sync sync);

/// Writes `text` to the output file that a user named. A regular or missing file is replaced
/// atomically, so that no reader sees half of it. A FIFO, a character device, or a link to one
/// (such as /dev/stdout) is written in place. Anything else, including a link to a regular file, is
/// errc::invalid_argument.
[[nodiscard]] Status write_output(const std::string& path, std::string_view text);

/// Joins "a" and "b/c" to "a/b/c", with exactly one slash between. A `path` of "" or "." adds
/// nothing.
std::string join(std::string_view base, std::string_view path);

/// Returns the parent cgroup's path: "/a" for "/a/b", "/" for "/a" and for "/".
std::string parent(std::string_view path);

/// Builds the error of a failed system call on `shown`, with a hint that fits `os_errno`.
Error system_error(const char* operation, std::string_view shown, int os_errno);

}  // namespace cgctl::fs
