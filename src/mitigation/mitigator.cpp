// SPDX-FileCopyrightText: The cgctl authors
// SPDX-License-Identifier: MIT
#include "cgctl/mitigator.hpp"

#include <time.h>

#include <algorithm>

#include "mitigation/evict.hpp"
#include "mitigation/node_reclaim.hpp"
#include "mitigation/rungs.hpp"

namespace cgctl::mitigation {
namespace {

Policy at_once(Policy policy) {
  policy.zombies_high = 1;
  policy.zombies_low = 0;
  policy.guards = Guards::override_all;
  return policy;
}

}  // namespace

std::chrono::nanoseconds boottime() noexcept {
  timespec now{};
  ::clock_gettime(CLOCK_BOOTTIME, &now);
  return std::chrono::seconds(now.tv_sec) + std::chrono::nanoseconds(now.tv_nsec);
}

Result<Mitigator> Mitigator::open(Host host, const std::string& state_dir) {
  auto store = Store::open(host, state_dir);
  if (!store) return fail(store.error());
  auto history = store->load();
  if (!history) return fail(history.error());
  Mitigator mitigator(std::move(host), std::move(*store), std::move(*history));
  const std::string& warning = mitigator.store_.warning();
  if (!warning.empty()) mitigator.warnings_.push_back(warning);
  return mitigator;
}

Result<Outcome> Mitigator::act(const Plan& plan, const Policy& policy, const Observation& before,
                               int stop) {
  // Saved before acting, so that a run that is killed half-way, or cannot save, is not repeated at
  // once by the next one.
  const History remembered = history_;
  begin(history_, uptime() - std::chrono::round<std::chrono::seconds>(before.took));
  if (auto status = save(); !status) {
    history_ = remembered;
    return fail(status.error());
  }
  auto outcome = carry_out(host_, guard_, plan, policy, before, stop);
  if (outcome) {
    end(history_, outcome->actions, outcome->effect, policy, uptime());
  } else {
    // No rung was tried.
    history_ = remembered;
  }
  return outcome;
}

Result<Report> Mitigator::run(const Policy& policy, Urgency urgency, int stop) {
  const Policy to_act = urgency == Urgency::at_once ? at_once(policy) : policy;
  if (!counter_) {
    auto counter = zombies::Counter::open(host_, 0, zombies::Counter::Use::directories);
    if (!counter) return fail(counter.error());
    counter_ = std::move(*counter);
  }
  auto before = observe(host_, guard_, to_act, history_, Intent::act, &*counter_);
  if (!before) return fail(before.error());
  const auto now = uptime();
  note(history_, *before, policy, now);
  auto plan = decide(*before, history_, to_act, now);
  Report report{std::move(*before), std::move(plan)};
  if (report.plan.decision == Decision::act) {
    const auto start = std::chrono::steady_clock::now();
    auto outcome = act(report.plan, to_act, report.before, stop);
    if (outcome) note(history_, outcome->after, policy, uptime());
    if (auto status = save(); !status) warnings_.push_back(status.error().message());
    if (!outcome) return fail(outcome.error());
    report.outcome = std::move(*outcome);
    report.duration = std::chrono::steady_clock::now() - start;
    if (const auto read_again = refaults(host_)) report.refaults_at_end = *read_again;
    report.ended = boottime();
  } else if (report.before.read_cost_measured) {
    if (auto status = save(); !status) return fail(status.error());
  }
  report.warnings = std::exchange(warnings_, {});
  return report;
}

Result<Report> rehearse(const Host& host, const std::string& state_dir, const Policy& policy) {
  auto history = Store::peek(host, state_dir);
  if (!history) return fail(history.error());
  numa::CostGuard guard;
  auto before = observe(host, guard, policy, *history);
  if (!before) return fail(before.error());
  const auto now = uptime();
  note(*history, *before, policy, now);
  auto plan = decide(*before, *history, policy, now);
  Report report{std::move(*before), std::move(plan)};
  const auto& ladder = report.plan.ladder;
  const auto planned = [&ladder](Rung rung) {
    return std::find(ladder.begin(), ladder.end(), rung) != ladder.end();
  };
  if (planned(Rung::advise)) {
    report.files = detail::files_to_advise(policy);
    std::sort(report.files.begin(), report.files.end());
  }
  if (planned(Rung::node_reclaim)) report.nodes = detail::reclaimable_nodes(host);
  if (planned(Rung::evict)) {
    auto files = detail::evictable(host, policy);
    if (files) report.evictable = std::move(*files);
    if (!files) report.warnings.push_back(files.error().message());
  }
  return report;
}

Result<std::optional<Refaults>> refaults_since(const Host& host, const Report& report) {
  const auto now = refaults(host);
  if (!now) return fail(now.error());
  const auto& before = report.refaults_at_end;
  if (!*now || !before || **now < *before) return std::nullopt;
  return Refaults{(**now - *before) * host.page_size(),
                  std::chrono::round<std::chrono::seconds>(boottime() - report.ended)};
}

}  // namespace cgctl::mitigation
