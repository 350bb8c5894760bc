// SPDX-FileCopyrightText: The cgctl authors
// SPDX-License-Identifier: MIT
#pragma once

#include <chrono>
#include <cstdint>
#include <optional>
#include <string>
#include <utility>
#include <vector>

#include "cgctl/error.hpp"
#include "cgctl/host.hpp"
#include "cgctl/mitigation.hpp"
#include "cgctl/mitigation_policy.hpp"
#include "cgctl/numa_stat.hpp"

namespace cgctl::mitigation {

/// CLOCK_BOOTTIME in full, see uptime().
std::chrono::nanoseconds boottime() noexcept;

/// How much of the dropped cache was read from disk again after an action.
struct Refaults {
  std::uint64_t bytes = 0;
  std::chrono::seconds within{};
};

/// What one run saw, decided and did.
struct Report {
  Observation before;
  Plan plan;
  std::chrono::system_clock::time_point looked = std::chrono::system_clock::now();
  std::optional<Outcome> outcome = {};  ///< when something was done
  std::chrono::nanoseconds duration{};  ///< of the action, waiting included
  /// At the action's end: refaults().
  std::optional<std::uint64_t> refaults_at_end = {};
  std::chrono::nanoseconds ended{};        ///< boottime()
  std::optional<Refaults> refaults = {};   ///< what the caller found out by refaults_since()
  std::vector<std::string> warnings = {};  ///< what went wrong and stopped nothing
};

/// at_once: any zombie is a reason, and no guard speaks against it.
enum class Urgency { as_configured, at_once };

/// A whole mitigation again and again: looks, decides, acts, verifies, and remembers in a state
/// directory (Store), which it keeps locked. A run that is killed half-way is remembered.
///
///     auto mitigator = cgctl::mitigation::Mitigator::open(*host, "/var/lib/agent");
///     if (!mitigator) return mitigator.error();
///     auto report = mitigator->run({}, cgctl::mitigation::Urgency::as_configured);
///     if (!report) return report.error();
///     log(report->plan.reason);
///
/// Not for concurrent use.
class Mitigator {
 public:
  /// Errors: those of Store::open() and Store::load(); errc::busy when another has the lock.
  [[nodiscard]] static Result<Mitigator> open(Host host, const std::string& state_dir);

  /// Blocks while it acts: see carry_out(), also for `stop`. An error means that nothing was done.
  [[nodiscard]] Result<Report> run(const Policy& policy, Urgency urgency, int stop = -1);

  /// Saves the history. run() saves it only before and after an action, and when the cost of a read
  /// was measured.
  [[nodiscard]] Status save() { return store_.save(history_); }

  [[nodiscard]] const Host& host() const noexcept { return host_; }
  [[nodiscard]] const History& history() const noexcept { return history_; }

 private:
  Mitigator(Host host, Store store, History history)
      : host_(std::move(host)), store_(std::move(store)), history_(std::move(history)) {}
  [[nodiscard]] Result<Outcome> act(const Plan& plan, const Policy& policy,
                                    const Observation& before, int stop);

  Host host_;
  Store store_;
  History history_;
  numa::CostGuard guard_;
  std::vector<std::string> warnings_;  ///< for the next report
};

/// Tells what Mitigator::run() would do, and why. It changes nothing and takes no lock.
[[nodiscard]] Result<Report> rehearse(const Host& host, const std::string& state_dir,
                                      const Policy& policy);

/// Returns what was read again since the report's action ended; nothing if that is not known.
[[nodiscard]] Result<std::optional<Refaults>> refaults_since(const Host& host,
                                                             const Report& report);

}  // namespace cgctl::mitigation
