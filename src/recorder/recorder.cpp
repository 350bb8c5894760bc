// SPDX-FileCopyrightText: The cgctl authors
// SPDX-License-Identifier: MIT
#include "cgctl/recorder.hpp"

#include <time.h>

#include <cerrno>
#include <utility>

#include "cgctl/filesystem.hpp"
#include "detail/state_directory.hpp"
#include "recorder/instance.hpp"
#include "recorder/ledger.hpp"

namespace cgctl::recorder {
namespace {

std::string ledger_path(const std::string& directory) { return fs::join(directory, "ledger"); }

std::chrono::nanoseconds boot_clock() {
  timespec now{};
  ::clock_gettime(CLOCK_BOOTTIME, &now);
  return std::chrono::seconds(now.tv_sec) + std::chrono::nanoseconds(now.tv_nsec);
}

std::chrono::seconds whole_seconds(std::chrono::nanoseconds time) {
  return std::chrono::duration_cast<std::chrono::seconds>(time);
}

Result<Present> present(const Host& host) {
  auto boot_id = cgctl::detail::boot_id(host.roots().proc);
  if (!boot_id) return fail(boot_id.error());
  return Present{std::move(*boot_id), whole_seconds(boot_clock())};
}

/// Reads the ledger; nothing if the file is something else.
Result<std::optional<Ledger>> read_ledger(const std::string& directory, const Present& now) {
  const auto text = cgctl::detail::read_state_file(ledger_path(directory));
  if (!text) {
    if (text.error().os_errno == ENOENT) return Ledger{};
    return fail(text.error());
  }
  if (!*text) return std::nullopt;
  return ledger_from_text(**text, now);
}

/// Reads the ledger; renames a file that is something else.
Result<Ledger> load(const std::string& directory, const Present& now) {
  auto ledger = read_ledger(directory, now);
  if (!ledger) return fail(ledger.error());
  if (*ledger) return std::move(**ledger);
  const auto aside = cgctl::detail::set_aside(ledger_path(directory));
  if (!aside) return fail(aside.error());
  return Ledger{};
}

/// Counts the records that somebody else has read. Begins again with a new tracing instance, since
/// nobody recorded in between. Returns false if the ledger is as it was.
Result<bool> take_up(Ledger& ledger, const Instance& instance) {
  const auto consumed = instance.consumed();
  if (!consumed) return fail(consumed.error());
  const bool fresh = ledger.instance != instance.identity();
  if (fresh) {
    ledger = Ledger{};
    ledger.instance = instance.identity();
    ledger.since = instance.made();
    ledger.inodes = instance.inodes();
  }
  const bool lost = *consumed > ledger.consumed;
  if (lost) ledger.lost += *consumed - ledger.consumed;
  return fresh || lost;
}

}  // namespace

Result<Ledger> collect(const Host& host, const std::string& directory, const Settings& settings) {
  const auto instance = Instance::open(host, settings.instance);
  if (!instance) return fail(instance.error());
  const auto lock = cgctl::detail::lock_state(directory, "ledger.lock");
  if (!lock) return fail(lock.error());
  auto now = present(host);
  if (!now) return fail(now.error());
  auto ledger = load(directory, *now);
  if (!ledger) return fail(ledger.error());
  const auto news = take_up(*ledger, *instance);
  if (!news) return fail(news.error());
  // A pod without a name is recorded as an unnamed one.
  const workload::Pods pods = workload::Pods::read(host).value_or(workload::Pods());
  const auto begun = boot_clock();
  const auto batch = instance->drain();
  if (!batch) return fail(batch.error());
  add(*ledger, batch->events, begun, pods);
  ledger->lost += batch->lost;
  if (!*news && batch->events.empty()) return std::move(*ledger);
  const auto consumed = instance->consumed();
  if (!consumed) return fail(consumed.error());
  ledger->consumed = *consumed;
  now->uptime = whole_seconds(boot_clock());
  ledger->written = now->uptime;
  const auto status =
      cgctl::detail::replace_state_file(ledger_path(directory), to_text(*ledger, *now));
  if (!status) return fail(status.error());
  return std::move(*ledger);
}

Result<Ledger> peek(const Host& host, const std::string& directory) {
  // A captured tree does not tell its boot, so that no ledger can be of the same boot.
  const auto now = present(host);
  if (!now) return Ledger{};
  auto ledger = read_ledger(directory, *now);
  if (!ledger) return fail(ledger.error());
  return std::move(*ledger).value_or(Ledger{});
}

}  // namespace cgctl::recorder
