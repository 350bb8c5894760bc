// SPDX-FileCopyrightText: The cgctl authors
// SPDX-License-Identifier: MIT
#include "cgctl/filesystem.hpp"

#include <sys/stat.h>

#include <algorithm>
#include <array>
#include <cerrno>
#include <climits>
#include <utility>

#include "detail/open_beneath.hpp"

namespace cgctl::fs {
namespace {

constexpr std::size_t first_buffer = 4096;
constexpr std::size_t largest_buffer = std::size_t{64} << 20;

/// Calls `visit` for each component of `path` until it returns false.
template <class Visit>
bool each_component(std::string_view path, Visit visit) {
  while (!path.empty()) {
    const std::size_t slash = std::min(path.find('/'), path.size());
    const std::string_view component = path.substr(0, slash);
    path.remove_prefix(std::min(slash + 1, path.size()));
    if (!component.empty() && component != "." && !visit(component)) return false;
  }
  return true;
}

/// One component of a path, NUL-terminated for system calls.
class Component {
 public:
  explicit Component(std::string_view name) noexcept {
    name.copy(text_.data(), std::min(name.size(), text_.size() - 1));
  }
  [[nodiscard]] const char* text() const noexcept { return text_.data(); }

 private:
  std::array<char, NAME_MAX + 1> text_{};
};

/// Opens one component without following links. For a symbolic link where a directory is wanted,
/// openat(2) fails with ENOTDIR, but openat2(2) and this function fail with ELOOP.
int open_component(int directory, std::string_view name, int flags) noexcept {
  if (name.size() > NAME_MAX) return -ENAMETOOLONG;
  const Component component(name);
  const int fd = sys::open_at(directory, component.text(), flags | O_NOFOLLOW);
  if (fd != -ENOTDIR) return fd;
  struct ::stat found {};
  const bool link = sys::stat_at(directory, component.text(), found) == 0 && S_ISLNK(found.st_mode);
  return link ? -ELOOP : fd;
}

/// Adds the flags that keep open(2) from blocking if the path is a FIFO or a device.
int without_waiting(int flags) noexcept {
  return (flags & O_PATH) != 0 ? flags : flags | O_NONBLOCK | O_NOCTTY;
}

/// Clears O_NONBLOCK on a writable descriptor: with O_NONBLOCK, a write to memory.max reclaims
/// nothing (Linux 6.16).
int may_wait(int fd, int flags) noexcept {
  const bool writes = (flags & O_PATH) == 0 && (flags & O_ACCMODE) != O_RDONLY;
  if (fd < 0 || !writes || (flags & O_NONBLOCK) != 0) return fd;
  const int status = sys::set_flags(fd, flags & (O_ACCMODE | O_APPEND));
  if (status == 0) return fd;
  sys::close(fd);
  return status;
}

/// Replaces openat2(RESOLVE_BENEATH | RESOLVE_NO_SYMLINKS) on kernels that lack it and for paths
/// that are too long for one call. `path` must be clean.
int walk_beneath(int directory, std::string_view path, int flags) noexcept {
  UniqueFd held;
  int current = directory;
  for (;;) {
    const std::size_t slash = path.find('/');
    if (slash == std::string_view::npos) break;
    const int next = open_component(current, path.substr(0, slash), O_PATH | O_DIRECTORY);
    if (next < 0) return next;
    held.reset(next);
    current = next;
    path.remove_prefix(slash + 1);
  }
  return open_component(current, path, flags);
}

bool is_device(int directory, const char* path) noexcept {
  struct ::stat found {};
  return sys::stat_at(directory, path, found) == 0 &&
         (S_ISCHR(found.st_mode) || S_ISBLK(found.st_mode));
}

/// Returns 0 if `fd` is on the directory's file system, -EXDEV if it is on another, or a negated
/// errno.
int on_same_file_system(int directory, int fd) noexcept {
  struct ::stat base {};
  struct ::stat found {};
  if (const int status = sys::stat(directory, base); status < 0) return status;
  if (const int status = sys::stat(fd, found); status < 0) return status;
  return base.st_dev == found.st_dev ? 0 : -EXDEV;
}

/// Restores the plain meaning of ENODEV for a file that belongs to no cgroup.
Error as_device_error(Error error) {
  if (error.kind == errc::vanished) {
    error.kind = errc::system;
    error.reason.clear();
  }
  return error;
}

}  // namespace

Error system_error(const char* operation, std::string_view shown, int os_errno) {
  Error error = Error::system(operation, std::string(shown), os_errno);
  switch (os_errno) {
    case ENODEV:
      error.kind = errc::vanished;
      error.reason = "the cgroup was removed";
      break;
    case EACCES:
    case EPERM:
      error.hint = "run as root, or have the cgroup delegated to you";
      break;
    case EROFS:
      error.hint = "mounted read-only; mount it writable or use the host's";
      break;
    case ESTALE:
      error.reason = "it was moved meanwhile";
      error.hint = "try again";
      break;
    case EMFILE:
      error.hint = "this process may open no more files: raise its limit (ulimit -n)";
      break;
    case ENFILE:
      error.hint = "the whole machine has too many files open: see /proc/sys/fs/file-nr";
      break;
    case EISNAM:
      error.reason = "it is a device, not a file";
      break;
    case ESPIPE:
      error.reason = "it is a FIFO, a socket or a terminal, not a file";
      break;
    default:
      break;
  }
  return error;
}

Result<std::string> clean_relative_path(std::string_view path) {
  const auto refuse = [&](errc kind, const char* reason, const char* hint) {
    const std::size_t nul = std::min(path.find('\0'), path.size());
    return fail(Error::make(kind, "resolve", std::string(path.substr(0, nul)), reason, hint));
  };
  if (path.find('\0') != std::string_view::npos) {
    return refuse(errc::invalid_argument, "the path has a NUL byte", "");
  }
  std::string clean;
  const char* reason = nullptr;
  errc kind = errc::invalid_argument;
  each_component(path, [&](std::string_view component) {
    if (component == "..") {
      kind = errc::outside;
      reason = "'..' would leave the cgroup";
    } else if (component.size() > NAME_MAX) {
      reason = "a name in the path is longer than 255 bytes";
    } else {
      if (!clean.empty()) clean.push_back('/');
      clean.append(component);
    }
    return reason == nullptr;
  });
  if (reason != nullptr) {
    return refuse(
        kind, reason,
        kind == errc::outside ? "give the cgroup's own path, such as /kubepods/pod-a" : "");
  }
  if (clean.empty()) clean = ".";
  return clean;
}

Result<UniqueFd> open_trusted(const std::string& path, int flags) {
  const int fd = may_wait(sys::open_at(AT_FDCWD, path.c_str(), without_waiting(flags)), flags);
  if (fd < 0) return fail(system_error("open", path, -fd));
  return UniqueFd(fd);
}

Result<UniqueFd> open_in_root(const std::string& root, std::string_view path, int flags) {
  const std::string shown = join(root, path);
  if (root == "/proc" || root == "/sys") return open_trusted(shown, flags);
  const auto directory = open_trusted(root, O_PATH | O_DIRECTORY);
  if (!directory) return fail(directory.error());
  const std::int64_t magic = sys::file_system(directory->get());
  if (magic != proc_magic && magic != sysfs_magic) {
    return open_beneath(directory->get(), path, flags | no_device, shown);
  }
  return open_trusted(shown, flags);
}

Result<UniqueFd> open_mount_point(const std::string& root, std::string_view path) {
  const auto refuse = [&](const char* reason) {
    return fail(Error::make(errc::outside, "open", join(root, path), reason,
                            "nothing was done; check the root directories given"));
  };
  const auto clean = clean_relative_path(path);
  if (!clean) return refuse("the path of a mount point leaves the root directory");
  const auto directory = open_trusted(root, O_PATH | O_DIRECTORY);
  if (!directory) return fail(directory.error());
  const int fd = walk_beneath(directory->get(), *clean, O_PATH | O_DIRECTORY);
  if (fd == -ELOOP) return refuse("a mount point is a symbolic link there");
  if (fd < 0) return fail(system_error("open", join(root, path), -fd));
  return UniqueFd(fd);
}

namespace {

/// Does open_beneath() for a clean path.
Result<UniqueFd> open_clean(int directory, const char* path, int flags, std::string_view shown) {
  const int fd = cgctl::detail::open_beneath(directory, path, flags);
  if (fd == -ELOOP) {
    return fail({errc::outside, ELOOP, "open", std::string(shown),
                 "the path leaves the cgroup through a symbolic link",
                 "give the cgroup's own path"});
  }
  if (fd == -EXDEV) {
    return fail(Error::make(errc::outside, "open", std::string(shown),
                            "another file system is mounted there",
                            "unmount it, or name a path of this hierarchy"));
  }
  if (fd < 0) {
    return fail(cgctl::detail::unless_there(system_error("open", shown, -fd), directory, path));
  }

  UniqueFd opened(fd);
  // With O_PATH, the descriptor may refer to a symbolic link itself.
  if ((flags & O_PATH) != 0 && (flags & O_DIRECTORY) == 0) {
    struct ::stat found {};
    if (const int status = sys::stat(fd, found); status < 0) {
      return fail(system_error("stat", shown, -status));
    }
    if (S_ISLNK(found.st_mode)) {
      return fail(Error::make(errc::outside, "open", std::string(shown),
                              "the path leaves the cgroup through a symbolic link",
                              "give the cgroup's own path"));
    }
  }
  return opened;
}

/// True if the path is one name, and so is clean.
bool is_one_name(std::string_view path) noexcept {
  return !path.empty() && path.size() <= NAME_MAX && path != "." && path != ".." &&
         path.find('/') == std::string_view::npos && path.find('\0') == std::string_view::npos;
}

}  // namespace

Result<UniqueFd> open_beneath(int directory, std::string_view path, int flags,
                              std::string_view shown) {
  // Most paths are the name of a file, which needs no memory from the heap.
  if (is_one_name(path)) return open_clean(directory, Component(path).text(), flags, shown);
  const auto clean = clean_relative_path(path);
  if (!clean) return fail(clean.error());
  return open_clean(directory, clean->c_str(), flags, shown);
}

Result<std::string_view> read_once(int fd, std::vector<char>& buffer, std::string_view shown) {
  if (buffer.empty()) buffer.resize(first_buffer);
  for (;;) {
    const ssize_t got = sys::pread(fd, buffer.data(), buffer.size(), 0);
    if (got == -EINTR) continue;
    if (got < 0) return fail(system_error("read", shown, static_cast<int>(-got)));
    const auto size = static_cast<std::size_t>(got);
    if (size < buffer.size()) return std::string_view(buffer.data(), size);
    if (buffer.size() >= largest_buffer) {
      return fail(Error::make(errc::malformed, "read", std::string(shown), "larger than 64 MiB"));
    }
    buffer.resize(buffer.size() * 4);
  }
}

namespace {

/// Returns the size that the file system states; 0 for files that are made when they are read.
std::size_t size_of(int fd) noexcept {
  struct ::stat found {};
  return sys::stat(fd, found) == 0 ? static_cast<std::size_t>(found.st_size) : 0;
}

}  // namespace

Result<std::string> read_all(int fd, std::string_view shown) {
  // Most files fit into the first buffer, which is not cleared.
  std::array<char, first_buffer> first;
  std::string text;
  std::size_t room = first.size();
  std::size_t used = 0;
  for (;;) {
    if (used == room) {
      if (text.empty()) text.assign(first.data(), used);
      room = std::max(room * 4, std::min(size_of(fd) + 1, largest_buffer));
      text.resize(room);
    }
    char* const buffer = text.empty() ? first.data() : text.data();
    const ssize_t got = sys::pread(fd, buffer + used, room - used, static_cast<off_t>(used));
    if (got == -EINTR) continue;
    if (got < 0) return fail(system_error("read", shown, static_cast<int>(-got)));
    if (got == 0) break;
    used += static_cast<std::size_t>(got);
    if (used > largest_buffer) {
      return fail(Error::make(errc::malformed, "read", std::string(shown), "larger than 64 MiB"));
    }
  }
  if (text.empty()) return std::string(first.data(), used);
  text.resize(used);
  return text;
}

Result<std::string> read_beneath(int directory, std::string_view path, std::string_view shown,
                                 int more_flags) {
  const auto fd = open_beneath(directory, path, O_RDONLY | more_flags, shown);
  if (!fd) return fail(fd.error());
  auto text = read_all(fd->get(), shown);
  if (text) return text;
  return fail(cgctl::detail::unless_there(text.error(), directory, std::string(path).c_str()));
}

Result<std::string> read_trusted(const std::string& path) {
  const auto fd = open_trusted(path, O_RDONLY);
  if (!fd) return fail(as_device_error(fd.error()));
  auto text = read_all(fd->get(), path);
  if (!text) return fail(as_device_error(text.error()));
  return text;
}

Result<std::string> read_in_root(const std::string& root, std::string_view path) {
  const auto fd = open_in_root(root, path, O_RDONLY);
  if (!fd) return fail(as_device_error(fd.error()));
  auto text = read_all(fd->get(), join(root, path));
  if (!text) return fail(as_device_error(text.error()));
  return text;
}

Status write_once(int fd, std::string_view value, std::string_view shown,
                  std::initializer_list<std::int64_t> magics) {
  const bool known = magics.size() == 0;
  const std::int64_t magic = known ? 0 : sys::file_system(fd);
  if (magic < 0) return fail(system_error("statfs", shown, static_cast<int>(-magic)));
  if (!known && std::find(magics.begin(), magics.end(), magic) == magics.end()) {
    return fail(Error::make(errc::outside, "write", std::string(shown),
                            "not a file of the kernel's own file system",
                            "nothing was written; check the root directories given"));
  }
  for (;;) {
    const ssize_t done = sys::write(fd, value.data(), value.size());
    if (done == -EINTR) continue;
    if (done < 0) return fail(system_error("write", shown, static_cast<int>(-done)));
    if (static_cast<std::size_t>(done) != value.size()) {
      return fail(Error::make(errc::system, "write", std::string(shown),
                              "the kernel took only a part of the value"));
    }
    return {};
  }
}

std::string join(std::string_view base, std::string_view path) {
  while (!base.empty() && base.back() == '/') base.remove_suffix(1);
  while (!path.empty() && path.front() == '/') path.remove_prefix(1);
  std::string joined(base);
  if (!path.empty() && path != ".") joined.append("/").append(path);
  if (joined.empty()) joined = "/";
  return joined;
}

std::string parent(std::string_view path) {
  const std::size_t slash = path.rfind('/');
  if (slash == 0 || slash == std::string_view::npos) return "/";
  return std::string(path.substr(0, slash));
}

}  // namespace cgctl::fs

int cgctl::detail::open_beneath(int directory, const char* path, int flags) noexcept {
  if ((flags & fs::no_device) != 0) {
    flags &= ~fs::no_device;
    if ((flags & O_PATH) == 0 && fs::is_device(directory, path)) return -EISNAM;
  }
  const bool cannot_block = (flags & fs::on_cgroupfs) != 0;
  flags &= ~fs::on_cgroupfs;
  const int at_once = fs::without_waiting(flags);
  int fd = sys::open_beneath(directory, path, cannot_block ? flags : at_once);
  if (fd >= 0 && cannot_block) return fd;
  if (fd == -ENOSYS || fd == -EPERM || fd == -EXDEV || fd == -ENAMETOOLONG) {
    UniqueFd walked(fs::walk_beneath(directory, path, at_once));
    if (!walked) return walked.get();
    const int status = fs::on_same_file_system(directory, walked.get());
    fd = status < 0 ? status : walked.release();
  }
  return fs::may_wait(fd, flags);
}

cgctl::Error cgctl::detail::unless_there(Error error, int directory, const char* path) {
  struct ::stat found {};
  const bool gone = error.kind == errc::vanished && sys::stat_at(directory, path, found) < 0;
  return gone ? error : fs::as_device_error(std::move(error));
}
