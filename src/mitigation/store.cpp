// SPDX-FileCopyrightText: The cgctl authors
// SPDX-License-Identifier: MIT
#include <cerrno>

#include "cgctl/filesystem.hpp"
#include "cgctl/mitigation.hpp"
#include "detail/state_directory.hpp"
#include "mitigation/history_text.hpp"

namespace cgctl::mitigation {
namespace {

std::string history_path(const std::string& directory) { return fs::join(directory, "history"); }

/// Reads the history; nothing if the file is something else.
Result<std::optional<History>> read_history(const std::string& directory,
                                            const std::string& boot_id) {
  const auto text = detail::read_state_file(history_path(directory));
  if (!text) {
    if (text.error().os_errno == ENOENT) return History{};
    return fail(text.error());
  }
  if (!*text) return std::nullopt;
  return detail::history_from_text(**text, detail::moment(boot_id));
}

}  // namespace

Store::Store(std::string directory, UniqueFd lock, std::string boot_id) noexcept
    : directory_(std::move(directory)), lock_(std::move(lock)), boot_id_(std::move(boot_id)) {}

Result<Store> Store::open(const Host& host, const std::string& directory) {
  auto boot_id = detail::boot_id(host.roots().proc);
  if (!boot_id) return fail(boot_id.error());
  auto lock = detail::lock_state(directory, "lock");
  if (!lock) return fail(lock.error());
  return Store(directory, std::move(*lock), std::move(*boot_id));
}

Result<History> Store::peek(const Host& host, const std::string& directory) {
  // A captured tree does not tell its boot, so that no history can be of the same boot.
  const auto boot_id = detail::boot_id(host.roots().proc);
  const auto history = read_history(directory, boot_id ? *boot_id : std::string());
  if (!history) return fail(history.error());
  return history->value_or(History{});
}

Result<History> Store::load() const {
  const auto history = read_history(directory_, boot_id_);
  if (!history) return fail(history.error());
  if (*history) return **history;
  const std::string path = history_path(directory_);
  const auto aside = detail::set_aside(path);
  if (!aside) return fail(aside.error());
  warning_ = path + " could not be understood and is kept as " + *aside;
  return History{};
}

Status Store::save(const History& history) const {
  return detail::replace_state_file(history_path(directory_),
                                    detail::to_text(history, detail::moment(boot_id_)));
}

}  // namespace cgctl::mitigation
