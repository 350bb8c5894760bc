// SPDX-FileCopyrightText: The cgctl authors
// SPDX-License-Identifier: MIT
#include <fcntl.h>
#include <sys/file.h>
#include <unistd.h>

#include <cerrno>
#include <cstdio>

#include "cgctl/filesystem.hpp"
#include "cgctl/mitigation.hpp"
#include "cgctl/parse.hpp"

namespace cgctl::mitigation {
namespace {

constexpr std::string_view header = "cgctl mitigation history 1\n";
constexpr std::string_view never = "never";

Result<std::string> boot_id_of(const Host& host) {
  auto id = fs::read_trusted(fs::join(host.roots().proc, "sys/kernel/random/boot_id"));
  if (id && !id->empty() && id->back() == '\n') id->pop_back();
  return id;
}

std::string history_path(const std::string& directory) { return fs::join(directory, "history"); }

/// The rest of the next line behind `key` and a space.
std::optional<std::string_view> next(std::string_view& text, std::string_view key) {
  std::string_view line = parse::line(text);
  if (parse::field(line) != key || line.empty()) return std::nullopt;
  return line.substr(1);
}

std::optional<History> parse_history(std::string_view text, std::string_view boot_id) {
  if (!parse::starts_with(text, header)) return std::nullopt;
  text.remove_prefix(header.size());
  const auto boot = next(text, "boot_id");
  const auto last = next(text, "last_action");
  const auto ineffective = next(text, "ineffective");
  if (!boot || !last || !ineffective) return std::nullopt;
  const auto useless = parse::whole_number(*ineffective);
  constexpr std::uint64_t sane = 1'000'000'000;
  if (!useless || *useless > sane) return std::nullopt;
  History history{std::nullopt, static_cast<unsigned>(*useless)};
  if (*last != never) {
    const auto uptime = parse::whole_number(*last);
    if (!uptime || *uptime > sane) return std::nullopt;
    history.last_action = std::chrono::seconds(*uptime);
  }
  return *boot == boot_id ? history : History{};
}

Result<std::optional<History>> read_history(const std::string& directory,
                                            std::string_view boot_id) {
  const auto text = fs::read_trusted(history_path(directory));
  if (!text) {
    if (text.error().os_errno == ENOENT) return History{};
    return fail(text.error());
  }
  return parse_history(*text, boot_id);
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
  std::string text(header);
  text.append("boot_id ").append(boot_id_);
  text.append("\nlast_action ");
  text.append(history.last_action ? std::to_string(history.last_action->count())
                                  : std::string(never));
  text.append("\nineffective ").append(std::to_string(history.ineffective)).append("\n");
  auto status = write_all(fd, text, fresh);
  if (status && ::rename(fresh.c_str(), path.c_str()) != 0) {
    status = fail(directory_error("rename", fresh, errno));
  }
  if (!status) ::unlink(fresh.c_str());
  return status;
}

}  // namespace cgctl::mitigation
