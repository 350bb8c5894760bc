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
#include "cgctl/zombies.hpp"

namespace cgctl::mitigation {

/// Returns CLOCK_BOOTTIME in nanoseconds, see uptime().
std::chrono::nanoseconds boottime() noexcept;

/// The amount of dropped cache that was read from disk again after an action.
struct Refaults {
  std::uint64_t bytes = 0;
  std::chrono::seconds within{};
};

/// The observation, decision and outcome of one run.
struct Report {
  Observation before;
  Plan plan;
  std::chrono::system_clock::time_point looked = std::chrono::system_clock::now();
  std::optional<Evictable> evictable = {};  ///< by rehearse(), if it would evict
  std::optional<Outcome> outcome = {};      ///< present if it acted
  std::chrono::nanoseconds duration{};      ///< length of the action, waiting included
  /// refaults() at the end of the action.
  std::optional<std::uint64_t> refaults_at_end = {};
  std::chrono::nanoseconds ended{};        ///< boottime() at the end of the action
  std::optional<Refaults> refaults = {};   ///< set by the caller from refaults_since()
  std::vector<std::string> warnings = {};  ///< problems that did not stop the run
  std::vector<std::uint64_t> nodes = {};   ///< by rehearse(): NUMA nodes for node_reclaim
  /// By rehearse(): files whose page cache fadvise would drop, in order.
  std::vector<std::string> files = {};
};

/// at_once: a single zombie is reason enough, and guards are ignored.
enum class Urgency { as_configured, at_once };

/// Runs complete mitigations: observes, decides, acts, verifies, and keeps the history in a state
/// directory (Store), which it locks. An interrupted run is in the history too.
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
  /// Opens and locks the state directory. Errors: those of Store::open() and Store::load();
  /// errc::busy if another instance holds the lock.
  [[nodiscard]] static Result<Mitigator> open(Host host, const std::string& state_dir);

  /// Runs one mitigation. Blocks while it acts; for this and for `stop` see carry_out(). An error
  /// means that no action was taken.
  [[nodiscard]] Result<Report> run(const Policy& policy, Urgency urgency, int stop = -1);

  /// Saves the history. run() itself saves it only before and after an action and after measuring
  /// the cost of a read.
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
  std::optional<zombies::Counter> counter_ = {};  ///< opened by the first run
  std::vector<std::string> warnings_;             ///< warnings for the next report
};

/// Reports the action that Mitigator::run() would take, and why. Changes nothing and takes no lock.
[[nodiscard]] Result<Report> rehearse(const Host& host, const std::string& state_dir,
                                      const Policy& policy);

/// Returns the amount of cache read again since the report's action ended; nothing if it is not
/// known.
[[nodiscard]] Result<std::optional<Refaults>> refaults_since(const Host& host,
                                                             const Report& report);

}  // namespace cgctl::mitigation
