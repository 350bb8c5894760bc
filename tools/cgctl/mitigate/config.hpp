// SPDX-FileCopyrightText: The cgctl authors
// SPDX-License-Identifier: MIT
#pragma once

#include <chrono>
#include <cstdint>
#include <optional>
#include <string>

#include "cgctl/error.hpp"
#include "cgctl/mitigation_policy.hpp"
#include "cli/command.hpp"

namespace cgctl::tool {

/// Configuration of `cgctl mitigate` and `cgctl metrics`.
struct Configuration {
  mitigation::Policy policy;
  std::string state_dir = default_state_dir;
  std::chrono::seconds interval = std::chrono::minutes(1);  ///< time between looks of the daemon
  std::chrono::seconds jitter = std::chrono::seconds(10);   ///< most random time added to interval
  /// Time between an action and the report of how much was read again; 0: no report.
  std::chrono::seconds refaults_after = std::chrono::minutes(1);
  bool record = false;              ///< the daemon starts the recording and collects (recorder.hpp)
  bool watch_cpus = false;          ///< the daemon watches for tasks that hold a CPU (holds.hpp)
  std::uint64_t cgroup_series = 0;  ///< most cgroups with metrics of their own (cgroup_series.hpp)
  std::string metrics_file;         ///< file written after each look; empty: none
  std::string listen;               ///< address such as "unix:/run/cgctl/metrics.sock"; empty: none
  /// Hash of all values before the command line overrides them, 16 hexadecimal digits: nodes with
  /// equal hashes have equal configurations.
  std::string hash;
};

/// Configuration file that is used, if it exists, when no file is named.
inline constexpr const char* default_config = "/etc/cgctl/mitigate.toml";

/// Reads a file in TOML 1.0. Returns errc::malformed with path "FILE:LINE:COLUMN" for a syntax
/// error, an unknown key and a value out of range.
Result<Configuration> read_config(const std::string& path);
/// Reads default_config if it exists; returns the defaults otherwise.
Result<Configuration> find_config();

/// Values from the command line, which override those of the file.
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
  unsigned level = 0;  ///< level of drop_caches; 0: the ladder
  bool force = false;
};

/// Purpose of a configuration: --once waits for refaults only if the command line says so.
enum class Use { once, daemon };

/// Reads the file and applies the values from the command line.
Result<Configuration> configure(const Overrides& overrides, Use use);

/// Throws CLI::ValidationError for options that contradict each other.
void check(const Overrides& overrides);

/// Returns a file for read_config(), with every key, its value and a comment that explains it.
std::string to_toml(const Configuration& configuration);

}  // namespace cgctl::tool
