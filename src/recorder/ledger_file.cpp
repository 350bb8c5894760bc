// SPDX-FileCopyrightText: The cgctl authors
// SPDX-License-Identifier: MIT
#include "recorder/ledger_file.hpp"

#include <time.h>

#include <cerrno>
#include <utility>

#include "cgctl/filesystem.hpp"
#include "detail/state_directory.hpp"

namespace cgctl::recorder {
namespace {

std::string ledger_path(const std::string& directory) { return fs::join(directory, "ledger"); }

std::chrono::seconds whole_seconds(std::chrono::nanoseconds time) {
  return std::chrono::duration_cast<std::chrono::seconds>(time);
}

}  // namespace

std::chrono::nanoseconds boot_clock() {
  timespec now{};
  ::clock_gettime(CLOCK_BOOTTIME, &now);
  return std::chrono::seconds(now.tv_sec) + std::chrono::nanoseconds(now.tv_nsec);
}

Result<Present> present(const Host& host) {
  auto boot_id = cgctl::detail::boot_id(host.roots().proc);
  if (!boot_id) return fail(boot_id.error());
  return Present{std::move(*boot_id), whole_seconds(boot_clock())};
}

Result<std::optional<Ledger>> read_ledger(const std::string& directory, const Present& now) {
  const auto text = cgctl::detail::read_state_file(ledger_path(directory));
  if (!text) {
    if (text.error().os_errno == ENOENT) return Ledger{};
    return fail(text.error());
  }
  if (!*text) return std::nullopt;
  return ledger_from_text(**text, now);
}

Result<LedgerFile> LedgerFile::open(const Host& host, const std::string& directory) {
  LedgerFile file;
  file.path_ = ledger_path(directory);
  auto lock = cgctl::detail::lock_state(directory, "ledger.lock");
  if (!lock) return fail(lock.error());
  file.lock_ = std::move(*lock);
  auto now = present(host);
  if (!now) return fail(now.error());
  file.now_ = std::move(*now);
  auto ledger = read_ledger(directory, file.now_);
  if (!ledger) return fail(ledger.error());
  if (*ledger) {
    file.ledger = std::move(**ledger);
    return file;
  }
  const auto aside = cgctl::detail::set_aside(file.path_);
  if (!aside) return fail(aside.error());
  return file;
}

Status LedgerFile::write() {
  now_.uptime = whole_seconds(boot_clock());
  ledger.written = now_.uptime;
  return cgctl::detail::replace_state_file(path_, to_text(ledger, now_));
}

}  // namespace cgctl::recorder
