// SPDX-FileCopyrightText: The cgctl authors
// SPDX-License-Identifier: MIT
#pragma once

#include <chrono>
#include <cstdint>
#include <ctime>
#include <nlohmann/json_fwd.hpp>
#include <optional>
#include <string>
#include <string_view>
#include <utility>

#include "cgctl/mitigation.hpp"
#include "config.hpp"

namespace cgctl::tool {

/// CLOCK_BOOTTIME.
std::chrono::nanoseconds boottime();

/// Said where the kernel keeps no pressure figures (PSI).
inline constexpr const char* blind_guards =
    "pressure is not kept here (PSI is off: boot with psi=1): the guards io_pressure and "
    "memory_pressure see nothing";

/// What was read again after an action.
struct Refaults {
  std::uint64_t bytes = 0;
  std::chrono::seconds within{};
};

/// One look, and what came of it.
struct Report {
  mitigation::Observation before;
  mitigation::Plan plan;
  std::time_t looked = std::time(nullptr);
  std::optional<mitigation::Outcome> outcome = {};  ///< when something was done
  std::chrono::nanoseconds duration{};              ///< of the action, waiting included
  /// At its end: mitigation::refaults().
  std::optional<std::uint64_t> refaults_at_end = {};
  std::chrono::nanoseconds ended{};  ///< boottime()
  std::optional<Refaults> refaults = {};
};

/// at_once: any zombie is a reason, and no guard speaks against it.
enum class Urgency { as_configured, at_once };

/// The state directory, locked, and what is remembered between looks.
class Mitigator {
 public:
  static Result<Mitigator> open(Host host, const std::string& state_dir);

  /// Looks, decides, acts, verifies, remembers. `stop`: see mitigation::carry_out().
  Result<Report> run(const mitigation::Policy& policy, Urgency urgency, int stop = -1);
  /// Writes down what is remembered. run() does so by itself only before and after an action, and
  /// when the cost of a read was measured.
  Status save() { return store_.save(history_); }

  [[nodiscard]] const Host& host() const noexcept { return host_; }
  [[nodiscard]] const mitigation::History& history() const noexcept { return history_; }

 private:
  Mitigator(Host host, mitigation::Store store, mitigation::History history)
      : host_(std::move(host)), store_(std::move(store)), history_(std::move(history)) {}
  Result<mitigation::Outcome> act(const mitigation::Plan& plan, const mitigation::Policy& policy,
                                  const mitigation::Observation& before, int stop);

  Host host_;
  mitigation::Store store_;
  mitigation::History history_;
  numa::CostGuard guard_;
};

/// What would be done, and why. Changes nothing.
Result<Report> rehearse(const Host& host, const Configuration& configuration);

/// What was read again since the action ended.
std::optional<Refaults> refaults_since(const Host& host, const Report& report);

/// "idle", "act", "refused", or "dry-run" for an action that was only rehearsed.
std::string_view decision_of(const Report& report);
std::string text_of(const Report& report);
nlohmann::ordered_json json_of(const Report& report);
/// For a run that neither did its work nor had none, in one line.
std::string complaint_of(const Report& report);

}  // namespace cgctl::tool
