// SPDX-FileCopyrightText: The cgctl authors
// SPDX-License-Identifier: MIT
#pragma once

#include <chrono>
#include <cstdint>
#include <optional>
#include <string>

#include "cgctl/error.hpp"
#include "cgctl/mitigation_policy.hpp"

namespace cgctl::tool {

/// What `cgctl mitigate` and `cgctl metrics` can be told in a file.
struct Configuration {
  mitigation::Policy policy;
  std::string state_dir = "/var/lib/cgctl";
  std::chrono::seconds interval = std::chrono::minutes(1);  ///< between two looks of the daemon
  std::chrono::seconds jitter = std::chrono::seconds(10);   ///< added to it, at random up to this
  /// After an action, until it is told how much was read again; 0: not told.
  std::chrono::seconds refaults_after = std::chrono::minutes(1);
  std::string metrics_file;  ///< written after each look; none when empty
  std::string listen;        ///< "unix:/run/cgctl/metrics.sock"; nowhere when empty
  /// Of all values as the file gives them, whatever the command line says over it: nodes with the
  /// same have the same configuration. 16 hexadecimal digits.
  std::string hash;
};

/// Where it is looked for when none is named.
inline constexpr const char* default_config = "/etc/cgctl/mitigate.toml";

/// The file as TOML 1.0. errc::malformed with path "FILE:LINE:COLUMN" for what is not TOML, for
/// an unknown key and for a value out of its range.
Result<Configuration> read_config(const std::string& path);
/// default_config where it exists, else the defaults.
Result<Configuration> find_config();

/// What the command line says over the file.
struct Overrides {
  std::string file;  ///< empty: find_config()
  std::optional<std::uint64_t> high;
  std::optional<std::uint64_t> low;
  std::optional<std::chrono::nanoseconds> read_cost_limit;
  std::optional<std::chrono::nanoseconds> min_interval;
  std::optional<std::chrono::nanoseconds> deadline;
  std::optional<std::chrono::nanoseconds> interval;
  std::optional<std::chrono::nanoseconds> refaults_after;
  std::optional<std::string> state_dir;
  std::optional<std::string> metrics_file;
  std::optional<std::string> listen;
  unsigned level = 0;  ///< of drop_caches; 0: the ladder
  bool force = false;
};

/// --once does not wait for refaults unless told to on the command line.
enum class Use { once, daemon };

/// The file, and what the command line says over it.
Result<Configuration> configure(const Overrides& overrides, Use use);

/// Options that contradict each other: throws CLI::ValidationError.
void check(const Overrides& overrides);

/// A file that read_config() takes, with every key, its value and what it means.
std::string to_toml(const Configuration& configuration);

}  // namespace cgctl::tool
