// SPDX-FileCopyrightText: The cgctl authors
// SPDX-License-Identifier: MIT
#include <fcntl.h>
#include <sys/file.h>
#include <unistd.h>

#include <cerrno>
#include <cstdio>

#include "cgctl/filesystem.hpp"
#include "cgctl/mitigation.hpp"
#include "history_text.hpp"

namespace cgctl::mitigation {
namespace {

Result<std::string> boot_id_of(const Host& host) {
  auto id = fs::read_trusted(fs::join(host.roots().proc, "sys/kernel/random/boot_id"));
  if (id && !id->empty() && id->back() == '\n') id->pop_back();
  return id;
}

std::string history_path(const std::string& directory) { return fs::join(directory, "history"); }

Result<std::optional<History>> read_history(const std::string& directory,
                                            const std::string& boot_id) {
  const auto text = fs::read_trusted(history_path(directory));
  if (!text) {
    if (text.error().os_errno == ENOENT) return History{};
    return fail(text.error());
  }
  return detail::history_from_text(*text, detail::moment(boot_id));
}

Error directory_error(const char* operation, const std::string& path, int os_errno) {
  Error error = fs::system_error(operation, path, os_errno);
  error.hint = "name a directory that can be written with --state-dir";
  return error;
}

Status write_all(int fd, std::string_view text, const std::string& path) {
  while (!text.empty()) {
    const ssize_t done = sys::write(fd, text.data(), text.size());
    if (done == -EINTR) continue;
    if (done < 0) return fail(directory_error("write", path, static_cast<int>(-done)));
    text.remove_prefix(static_cast<std::size_t>(done));
  }
  if (::fsync(fd) != 0) return fail(directory_error("sync", path, errno));
  return {};
}

}  // namespace

Result<Store> Store::open(const Host& host, const std::string& directory) {
  auto boot_id = boot_id_of(host);
  if (!boot_id) return fail(boot_id.error());
  if (::mkdir(directory.c_str(), 0755) != 0 && errno != EEXIST) {
    return fail(directory_error("make directory", directory, errno));
  }
  const std::string path = fs::join(directory, "lock");
  const int fd = sys::open_at(AT_FDCWD, path.c_str(), O_RDWR | O_CREAT | O_NOFOLLOW, 0644);
  if (fd < 0) return fail(directory_error("open", path, -fd));
  UniqueFd lock(fd);
  if (::flock(fd, LOCK_EX | LOCK_NB) != 0) {
    if (errno == EWOULDBLOCK) {
      return fail(Error::make(errc::busy, "lock", path, "another instance is at work",
                              "wait for it to end"));
    }
    return fail(directory_error("lock", path, errno));
  }
  return Store(directory, std::move(lock), std::move(*boot_id));
}

Result<History> Store::peek(const Host& host, const std::string& directory) {
  // A captured tree does not say which boot it is of: then no history can be of the same.
  const auto boot_id = boot_id_of(host);
  const auto history = read_history(directory, boot_id ? *boot_id : std::string());
  if (!history) return fail(history.error());
  return history->value_or(History{});
}

Result<History> Store::load() const {
  const auto history = read_history(directory_, boot_id_);
  if (!history) return fail(history.error());
  if (*history) return **history;
  const std::string path = history_path(directory_);
  const std::string aside = path + ".corrupt";
  if (::rename(path.c_str(), aside.c_str()) != 0)
    return fail(directory_error("rename", path, errno));
  warning_ = path + " was not understood and is kept as " + aside;
  return History{};
}

Status Store::save(const History& history) const {
  const std::string path = history_path(directory_);
  const std::string fresh = path + ".new";
  const int fd =
      sys::open_at(AT_FDCWD, fresh.c_str(), O_WRONLY | O_CREAT | O_TRUNC | O_NOFOLLOW, 0644);
  if (fd < 0) return fail(directory_error("open", fresh, -fd));
  const UniqueFd file(fd);
  const std::string text = detail::to_text(history, detail::moment(boot_id_));
  auto status = write_all(fd, text, fresh);
  if (status && ::rename(fresh.c_str(), path.c_str()) != 0) {
    status = fail(directory_error("rename", fresh, errno));
  }
  if (!status) ::unlink(fresh.c_str());
  return status;
}

}  // namespace cgctl::mitigation
