// SPDX-FileCopyrightText: The cgctl authors
// SPDX-License-Identifier: MIT
#include <fcntl.h>
#include <poll.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cerrno>
#include <cstdio>

#include "cgctl/filesystem.hpp"

namespace cgctl::fs {
namespace {

constexpr int milliseconds_for_reader = 1000;

Error invalid(const std::string& path, const char* reason, const char* hint) {
  return Error::make(errc::invalid_argument, "write", path, reason, hint);
}

/// Waits until a slow reader has made room. Returns false after the time limit.
bool waits_for_reader(int fd) {
  pollfd room{fd, POLLOUT, 0};
  return ::poll(&room, 1, milliseconds_for_reader) == 1;
}

Status write_all(int fd, std::string_view text, const std::string& shown) {
  while (!text.empty()) {
    const ssize_t done = sys::write(fd, text.data(), text.size());
    if (done == -EINTR || (done == -EAGAIN && waits_for_reader(fd))) continue;
    if (done < 0) return fail(system_error("write", shown, static_cast<int>(-done)));
    text.remove_prefix(static_cast<std::size_t>(done));
  }
  return {};
}

/// Makes the file `path`, which must not exist.
int make_file(const std::string& path) {
  return sys::open_at(AT_FDCWD, path.c_str(), O_WRONLY | O_CREAT | O_EXCL | O_NOFOLLOW, 0644);
}

/// Makes the new file; `shown` is the file that it will replace, for errors.
Result<UniqueFd> make_fresh(const std::string& path, const std::string& shown) {
  int fd = make_file(path);
  if (fd == -EEXIST) {
    if (::unlink(path.c_str()) != 0 && errno != ENOENT) {
      return fail(system_error("replace", path, errno));
    }
    fd = make_file(path);
  }
  if (fd < 0) return fail(system_error("write", shown, -fd));
  return UniqueFd(fd);
}

Status fill(int fd, std::string_view text, const std::string& shown, Sync sync) {
  // Other users may read the file, regardless of the umask.
  if (::fchmod(fd, 0644) != 0) return fail(system_error("protect", shown, errno));
  if (auto status = write_all(fd, text, shown); !status) return status;
  if (sync == Sync::to_disk && ::fsync(fd) != 0) return fail(system_error("sync", shown, errno));
  return {};
}

/// Writes to a FIFO or character device, or through a link to one.
Status write_in_place(const std::string& path, std::string_view text) {
  const int fd = sys::open_at(AT_FDCWD, path.c_str(), O_WRONLY | O_NONBLOCK | O_NOCTTY);
  if (fd == -ENXIO) return fail(invalid(path, "no process reads it", "start its reader first"));
  if (fd < 0) return fail(system_error("open", path, -fd));
  const UniqueFd opened(fd);
  struct ::stat found {};
  if (const int status = sys::stat(fd, found); status < 0) {
    return fail(system_error("stat", path, -status));
  }
  if (S_ISREG(found.st_mode)) {
    return fail(invalid(path, "it is a symbolic link to a file", "name the file itself"));
  }
  if (S_ISCHR(found.st_mode) || S_ISFIFO(found.st_mode)) return write_all(fd, text, path);
  return fail(invalid(path, "it is no file, FIFO or character device", "name another file"));
}

}  // namespace

Status replace_file(const std::string& path, const std::string& fresh, std::string_view text,
                    Sync sync) {
  const auto file = make_fresh(fresh, path);
  if (!file) return fail(file.error());
  auto status = fill(file->get(), text, fresh, sync);
  if (status && ::rename(fresh.c_str(), path.c_str()) != 0) {
    status = fail(system_error("replace", path, errno));
  }
  if (!status) ::unlink(fresh.c_str());
  return status;
}

Status write_output(const std::string& path, std::string_view text) {
  struct ::stat found {};
  const int status = sys::stat_at(AT_FDCWD, path.c_str(), found);
  if (status < 0 && status != -ENOENT) return fail(system_error("write", path, -status));
  if (status == 0 && !S_ISREG(found.st_mode)) return write_in_place(path, text);
  return replace_file(path, path + "." + std::to_string(::getpid()) + ".new", text, Sync::none);
}

}  // namespace cgctl::fs
