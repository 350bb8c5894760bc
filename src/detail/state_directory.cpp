// SPDX-FileCopyrightText: The cgctl authors
// SPDX-License-Identifier: MIT
#include "detail/state_directory.hpp"

#include <fcntl.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cerrno>
#include <cstdio>

#include "cgctl/detail/sys.hpp"
#include "cgctl/filesystem.hpp"

namespace cgctl::detail {
namespace {

Error directory_error(const char* operation, const std::string& path, int os_errno) {
  Error error = fs::system_error(operation, path, os_errno);
  error.hint = "name a state directory that can be written";
  return error;
}

/// Makes a directory and its missing parents.
Status make_directory(const std::string& directory) {
  for (std::size_t end = directory.find('/', 1);; end = directory.find('/', end + 1)) {
    const std::string part = directory.substr(0, end);
    struct ::stat about {};
    const bool there = end != std::string::npos && ::stat(part.c_str(), &about) == 0;
    if (!there && ::mkdir(part.c_str(), 0755) != 0 && errno != EEXIST) {
      return fail(directory_error("make directory", part, errno));
    }
    if (end == std::string::npos) return {};
  }
}

/// Fails if another user could put files into the directory.
Status check_directory(const std::string& directory) {
  const auto opened = fs::open_trusted(directory, O_RDONLY | O_DIRECTORY);
  if (!opened) return fail(directory_error("open", directory, opened.error().os_errno));
  struct ::stat about {};
  if (const int status = sys::stat(opened->get(), about); status < 0) {
    return fail(directory_error("stat", directory, -status));
  }
  const bool own = about.st_uid == 0 || about.st_uid == ::geteuid();
  if (own && (about.st_mode & (S_IWGRP | S_IWOTH)) == 0) return {};
  return fail(Error::make(errc::outside, "use directory", directory,
                          own ? "other users can write to it" : "it belongs to another user",
                          "name a state directory that only root can write"));
}

/// Opens the lock file, which must be a regular file with a single name.
Result<UniqueFd> open_lock(const std::string& path) {
  const int fd = sys::open_at(AT_FDCWD, path.c_str(),
                              O_RDWR | O_CREAT | O_NOFOLLOW | O_NONBLOCK | O_NOCTTY, 0600);
  if (fd < 0) return fail(directory_error("open", path, -fd));
  UniqueFd lock(fd);
  struct ::stat about {};
  if (const int status = sys::stat(fd, about); status < 0) {
    return fail(directory_error("stat", path, -status));
  }
  if (!S_ISREG(about.st_mode) || about.st_nlink > 1) {
    return fail(Error::make(errc::outside, "lock", path,
                            S_ISREG(about.st_mode) ? "the file has another name (hard link)"
                                                   : "it is not a regular file",
                            "remove it"));
  }
  // A user who can open the file could hold the lock.
  if (::fchmod(fd, 0600) != 0) return fail(directory_error("protect", path, errno));
  return lock;
}

}  // namespace

Result<std::string> boot_id(const std::string& proc) {
  auto id = fs::read_in_root(proc, "sys/kernel/random/boot_id");
  if (id && !id->empty() && id->back() == '\n') id->pop_back();
  return id;
}

Result<std::optional<std::string>> read_state_file(const std::string& path) {
  const int fd =
      sys::open_at(AT_FDCWD, path.c_str(), O_RDONLY | O_NOFOLLOW | O_NONBLOCK | O_NOCTTY);
  if (fd == -ELOOP || fd == -ENXIO) return std::nullopt;
  if (fd < 0) return fail(fs::system_error("open", path, -fd));
  const UniqueFd file(fd);
  struct ::stat about {};
  if (const int status = sys::stat(fd, about); status < 0) {
    return fail(fs::system_error("stat", path, -status));
  }
  if (!S_ISREG(about.st_mode) || about.st_nlink > 1) return std::nullopt;
  std::string text(largest_state_file + 1, '\0');
  std::size_t size = 0;
  while (size < text.size()) {
    const ssize_t got = sys::pread(fd, &text[size], text.size() - size, static_cast<off_t>(size));
    if (got == -EINTR) continue;
    if (got < 0) return fail(fs::system_error("read", path, static_cast<int>(-got)));
    if (got == 0) break;
    size += static_cast<std::size_t>(got);
  }
  if (size > largest_state_file) return std::nullopt;
  text.resize(size);
  return text;
}

Result<std::string> set_aside(const std::string& path) {
  constexpr int most = 10;
  std::string aside = path + ".corrupt";
  for (int i = 1; ::rename(path.c_str(), aside.c_str()) != 0; ++i) {
    const bool in_the_way =
        errno == EISDIR || errno == ENOTDIR || errno == ENOTEMPTY || errno == EEXIST;
    if (!in_the_way || i == most) return fail(directory_error("rename", path, errno));
    aside = path + ".corrupt." + std::to_string(i);
  }
  return aside;
}

Status replace_state_file(const std::string& path, std::string_view text) {
  const std::string fresh = path + ".new";
  auto status = fs::replace_file(path, fresh, text, fs::Sync::to_disk);
  if (!status && status.error().path == fresh && status.error().os_errno == EISDIR) {
    if (const auto aside = set_aside(fresh); !aside) return fail(aside.error());
    status = fs::replace_file(path, fresh, text, fs::Sync::to_disk);
  }
  if (!status) {
    const Error& error = status.error();
    return fail(directory_error(error.operation, error.path, error.os_errno));
  }
  return {};
}

Result<UniqueFd> lock_state(const std::string& directory, const char* name) {
  if (auto status = make_directory(directory); !status) return fail(status.error());
  if (auto status = check_directory(directory); !status) return fail(status.error());
  const std::string path = fs::join(directory, name);
  auto lock = open_lock(path);
  if (!lock) return fail(lock.error());
  if (::flock(lock->get(), LOCK_EX | LOCK_NB) != 0) {
    if (errno == EWOULDBLOCK) {
      return fail(Error::make(errc::busy, "lock", path, "another instance is running",
                              "wait for it to end"));
    }
    return fail(directory_error("lock", path, errno));
  }
  return lock;
}

}  // namespace cgctl::detail
