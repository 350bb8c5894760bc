// SPDX-FileCopyrightText: The cgctl authors
// SPDX-License-Identifier: MIT
#include "mitigation_run.hpp"

#include <time.h>

#include "command.hpp"

namespace cgctl::tool {

using mitigation::Decision;
using mitigation::History;
using mitigation::Outcome;
using mitigation::Plan;
using mitigation::Policy;
using mitigation::Store;

namespace {

/// Any zombie is a reason, and no guard speaks against it.
Policy at_once(Policy policy) {
  policy.zombies_high = 1;
  policy.zombies_low = 0;
  policy.guards = mitigation::Guards::override_all;
  return policy;
}

}  // namespace

std::chrono::nanoseconds boottime() {
  timespec now{};
  ::clock_gettime(CLOCK_BOOTTIME, &now);
  return std::chrono::seconds(now.tv_sec) + std::chrono::nanoseconds(now.tv_nsec);
}

Result<Mitigator> Mitigator::open(Host host, const std::string& state_dir) {
  auto store = Store::open(host, state_dir);
  if (!store) return fail(store.error());
  auto history = store->load();
  if (!history) return fail(history.error());
  if (!store->warning().empty()) warn(store->warning());
  return Mitigator(std::move(host), std::move(*store), std::move(*history));
}

Result<Outcome> Mitigator::act(const Plan& plan, const Policy& policy,
                               const mitigation::Observation& before, int stop) {
  // Saved before acting too: a run that is killed half-way, or that cannot save, must not be
  // repeated by the next at once.
  const History remembered = history_;
  mitigation::begin(history_, mitigation::uptime());
  if (auto status = save(); !status) {
    history_ = remembered;
    return fail(status.error());
  }
  auto outcome = mitigation::carry_out(host_, guard_, plan, policy, before, stop);
  if (outcome) {
    mitigation::end(history_, outcome->actions, outcome->effect, policy, mitigation::uptime());
  } else {
    // No rung was tried.
    history_ = remembered;
  }
  return outcome;
}

Result<Report> Mitigator::run(const Policy& policy, Urgency urgency, int stop) {
  const Policy to_act = urgency == Urgency::at_once ? at_once(policy) : policy;
  auto before = mitigation::observe(host_, guard_, to_act, history_);
  if (!before) return fail(before.error());
  const auto now = mitigation::uptime();
  mitigation::note(history_, *before, policy, now);
  auto plan = mitigation::decide(*before, history_, to_act, now);
  Report report{std::move(*before), std::move(plan)};
  if (report.plan.decision != Decision::act) {
    if (report.before.read_cost_measured) {
      if (auto status = save(); !status) return fail(status.error());
    }
    return report;
  }
  const auto start = std::chrono::steady_clock::now();
  auto outcome = act(report.plan, to_act, report.before, stop);
  if (outcome) mitigation::note(history_, outcome->after, policy, mitigation::uptime());
  if (auto status = save(); !status) warn(status.error().message());
  if (!outcome) return fail(outcome.error());
  report.outcome = std::move(*outcome);
  report.duration = std::chrono::steady_clock::now() - start;
  if (const auto refaults = mitigation::refaults(host_)) report.refaults_at_end = *refaults;
  report.ended = boottime();
  return report;
}

Result<Report> rehearse(const Host& host, const Configuration& configuration) {
  auto history = Store::peek(host, configuration.state_dir);
  if (!history) return fail(history.error());
  numa::CostGuard guard;
  auto before =
      mitigation::observe(host, guard, configuration.policy, *history, mitigation::Intent::look);
  if (!before) return fail(before.error());
  const auto now = mitigation::uptime();
  mitigation::note(*history, *before, configuration.policy, now);
  auto plan = mitigation::decide(*before, *history, configuration.policy, now);
  return Report{std::move(*before), std::move(plan)};
}

std::optional<Refaults> refaults_since(const Host& host, const Report& report) {
  const auto now = mitigation::refaults(host);
  if (!now) warn(now.error().message());
  if (!now || !*now || !report.refaults_at_end || **now < *report.refaults_at_end)
    return std::nullopt;
  return Refaults{(**now - *report.refaults_at_end) * host.page_size(),
                  std::chrono::round<std::chrono::seconds>(boottime() - report.ended)};
}

}  // namespace cgctl::tool
