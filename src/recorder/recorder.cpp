// SPDX-FileCopyrightText: The cgctl authors
// SPDX-License-Identifier: MIT
#include "cgctl/recorder.hpp"

#include <utility>

#include "recorder/instance.hpp"
#include "recorder/ledger.hpp"
#include "recorder/ledger_file.hpp"

namespace cgctl::recorder {
namespace {

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
  auto file = LedgerFile::open(host, directory);
  if (!file) return fail(file.error());
  Ledger& ledger = file->ledger;
  const auto news = take_up(ledger, *instance);
  if (!news) return fail(news.error());
  // A pod without a name is recorded as an unnamed one.
  const workload::Pods pods = workload::Pods::read(host).value_or(workload::Pods());
  const auto begun = boot_clock();
  const auto batch = instance->drain();
  if (!batch) return fail(batch.error());
  add(ledger, batch->events, begun, pods);
  ledger.lost += batch->lost;
  if (!*news && batch->events.empty()) return std::move(ledger);
  const auto consumed = instance->consumed();
  if (!consumed) return fail(consumed.error());
  ledger.consumed = *consumed;
  if (auto status = file->write(); !status) return fail(status.error());
  return std::move(ledger);
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
