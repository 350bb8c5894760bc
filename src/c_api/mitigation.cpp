// SPDX-FileCopyrightText: The cgctl authors
// SPDX-License-Identifier: MIT
#include "c_api/convert.hpp"
#include "cgctl/mitigator.hpp"

namespace cgctl::c_api {
namespace {

int c_decision(mitigation::Decision decision) noexcept {
  switch (decision) {
    case mitigation::Decision::idle:
      return CGCTL_IDLE;
    case mitigation::Decision::act:
      return CGCTL_ACT;
    case mitigation::Decision::refused:
      return CGCTL_REFUSED;
  }
  return CGCTL_REFUSED;
}

cgctl_mitigation result_of(const mitigation::Report& report) noexcept {
  cgctl_mitigation result{};
  result.decision = c_decision(report.plan.decision);
  result.zombies_before = report.before.zombies.zombies();
  result.zombies_after = CGCTL_ABSENT;
  copy_text(report.plan.reason, result.reason);
  if (!report.outcome) return result;
  result.effective = report.outcome->effect == mitigation::Effect::effective ? 1 : 0;
  result.zombies_after = report.outcome->after.zombies.zombies();
  return result;
}

Result<mitigation::Report> mitigate(const Host& host, const char* state, unsigned flags) {
  if ((flags & CGCTL_DRY_RUN) != 0) return mitigation::rehearse(host, state, {});
  auto mitigator = mitigation::Mitigator::open(host, state);
  if (!mitigator) return fail(mitigator.error());
  const bool at_once = (flags & CGCTL_AT_ONCE) != 0;
  auto report = mitigator->run(
      {}, at_once ? mitigation::Urgency::at_once : mitigation::Urgency::as_configured);
  if (!report) return report;
  if (auto status = mitigator->save(); !status) return fail(status.error());
  return report;
}

}  // namespace
}  // namespace cgctl::c_api

int cgctl_mitigate(const cgctl_host* host, const char* state, unsigned flags,
                   struct cgctl_mitigation* result, cgctl_error* error) {
  using namespace cgctl;
  return c_api::guarded(error, [&]() -> Status {
    if (auto status = c_api::given(host, state); !status) return status;
    // Checks that the caller can be told the result before anything is done.
    if (auto status = c_api::deliver(cgctl_mitigation{}, result); !status) return status;
    const auto report = c_api::mitigate(host->host, state, flags);
    if (!report) return fail(report.error());
    const Status delivered = c_api::deliver(c_api::result_of(*report), result);
    const bool failed = report->outcome && !report->outcome->status;
    return failed ? fail(report->outcome->status.error()) : delivered;
  });
}
