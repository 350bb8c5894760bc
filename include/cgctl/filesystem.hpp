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

/// The one door to files. Paths that came from outside are opened beneath a directory descriptor
/// only.
namespace cgctl::fs {

/// statfs(2) magic numbers (include/uapi/linux/magic.h).
inline constexpr std::int64_t cgroup_v1_magic = 0x27e0eb;
inline constexpr std::int64_t cgroup_v2_magic = 0x63677270;
inline constexpr std::int64_t proc_magic = 0x9fa0;
inline constexpr std::int64_t sysfs_magic = 0x62656572;

/// Brings a path relative to some directory into the form "a/b/c" ("." for the directory itself): a
/// leading slash, doubled slashes and "." fall away. errc::outside for a ".." component,
/// errc::invalid_argument for a NUL byte or a component above 255 bytes.
[[nodiscard]] Result<std::string> clean_relative_path(std::string_view path);

/// Opens an absolute path that the caller trusts (a root the user named, a mount point the kernel
/// named). As with open_beneath(), opening a FIFO or a device waits for nobody.
[[nodiscard]] Result<UniqueFd> open_trusted(const std::string& path, int flags);

/// Opens `path` in a root such as Roots::proc or Roots::sys. In a real procfs or sysfs the kernel's
/// own links are followed; elsewhere (a captured tree) the file is opened as open_beneath() does.
[[nodiscard]] Result<UniqueFd> open_in_root(const std::string& root, std::string_view path,
                                            int flags);

/// Opens the directory `path` below the directory `root` with O_PATH: no "..", no symbolic link,
/// but other file systems may be mounted on the way. errc::outside for a ".." or a link.
[[nodiscard]] Result<UniqueFd> open_mount_point(const std::string& root, std::string_view path);

/// Opens `path` beneath `directory`: no "..", no absolute path, no symbolic link, and on the same
/// file system instance (st_dev) as `directory`, so that a bind mount or another hierarchy inside
/// it cannot be reached. openat2(2) does it in one call; where the kernel (before 5.6) or a seccomp
/// filter refuses that call, or a mount of the same file system is in the way, the components are
/// walked one by one with O_NOFOLLOW. A path beyond the kernel's 4,095 bytes is opened piece by
/// piece. `shown` is the path used in errors.
[[nodiscard]] Result<UniqueFd> open_beneath(int directory, std::string_view path, int flags,
                                            std::string_view shown);

/// Reads a kernel file that is one record (`memory.stat`, `memory.numa_stat`, `cpu.stat`,
/// `/proc/cgroups`, node `vmstat`: the kernel makes the whole text for a read at offset 0) from its
/// start into `buffer`. A text that fills the buffer is read again with a larger one, so that it
/// always comes from one read. Returns a view into `buffer`. ENODEV is errc::vanished. EINTR is
/// retried. Once `buffer` is large enough a call is one pread(2) and does not allocate.
[[nodiscard]] Result<std::string_view> read_once(int fd, std::vector<char>& buffer,
                                                 std::string_view shown);

/// Reads any file to its end, also those the kernel hands out in pieces of a page (`mountinfo`,
/// `cgroup.procs`).
[[nodiscard]] Result<std::string> read_all(int fd, std::string_view shown);

/// open_beneath + read_all.
[[nodiscard]] Result<std::string> read_beneath(int directory, std::string_view path,
                                               std::string_view shown);

/// open_in_root + read_all.
[[nodiscard]] Result<std::string> read_in_root(const std::string& root, std::string_view path);

/// Reads a trusted absolute path.
[[nodiscard]] Result<std::string> read_trusted(const std::string& path);

/// Writes `value` to a kernel file in one write(2): retried on EINTR only; a short write is an
/// error, EAGAIN is handed to the caller as it is. The descriptor's file system must be one of
/// `magics`.
[[nodiscard]] Status write_once(int fd, std::string_view value, std::string_view shown,
                                std::initializer_list<std::int64_t> magics = {cgroup_v1_magic,
                                                                              cgroup_v2_magic});

enum class Sync { none, to_disk };

/// Replaces the file `path` at once by one with `text`, mode 0644: `fresh`, in the same directory,
/// is made anew, written and renamed. A file, link, FIFO or device left at `fresh` is removed
/// first, a directory is EISDIR.
[[nodiscard]] Status replace_file(const std::string& path, const std::string& fresh,
                                  std::string_view text, Sync sync);

/// Writes an output that a user names. A regular file, or none, is replaced at once, so that no
/// reader sees half of it. A FIFO or a character device, or a link to one such as /dev/stdout, is
/// written to where it is. Anything else is errc::invalid_argument, also a link to a regular file.
[[nodiscard]] Status write_output(const std::string& path, std::string_view text);

/// "a" + "b/c" -> "a/b/c", with exactly one slash between; a path of "" or "." adds nothing.
std::string join(std::string_view base, std::string_view path);

/// "/a/b" -> "/a", "/a" -> "/", "/" -> "/": the cgroup above.
std::string parent(std::string_view path);

/// Text for the user when a system call on `shown` failed: the error with a hint that fits
/// `os_errno`.
Error system_error(const char* operation, std::string_view shown, int os_errno);

}  // namespace cgctl::fs
