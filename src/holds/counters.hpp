// SPDX-FileCopyrightText: The cgctl authors
// SPDX-License-Identifier: MIT
#pragma once

#include <cstdint>
#include <string_view>
#include <vector>

#include "cgctl/holds.hpp"
#include "cgctl/unique_fd.hpp"

namespace cgctl::holds {

/// The kernel's counters of one CPU since its start.
struct Counted {
  std::uint64_t net_rx = 0;
  bool softnet = false;  ///< the next two are known
  std::uint64_t dropped = 0;
  std::uint64_t time_squeeze = 0;
  std::optional<std::uint64_t> backlog;         ///< packets now
  std::optional<std::uint64_t> ksoftirqd_wait;  ///< nanoseconds
};

/// Parses /proc/softirqs into the CPUs of `cpus` (by number). Returns false without NET_RX.
bool parse_softirqs(std::string_view text, const std::vector<Cpu>& cpus,
                    std::vector<Counted>& out) noexcept;
/// Parses /proc/net/softnet_stat, which has a line for each CPU that is online.
void parse_softnet(std::string_view text, const std::vector<Cpu>& cpus,
                   std::vector<Counted>& out) noexcept;

/// Reads the counters and adds up the differences since the start.
class Counters {
 public:
  /// Opens the files and reads them once.
  [[nodiscard]] static Result<Counters> open(const Host& host, const std::vector<Cpu>& cpus);

  Counters() = default;
  /// Updates the figures of the CPUs. Does not allocate.
  void update(std::vector<Cpu>& cpus) noexcept;

 private:
  [[nodiscard]] std::string_view read(const UniqueFd& file) noexcept;
  [[nodiscard]] bool look(const std::vector<Cpu>& cpus) noexcept;
  void find_ksoftirqd(const Host& host, const std::vector<Cpu>& cpus);

  UniqueFd softirqs_;
  UniqueFd softnet_;
  std::vector<UniqueFd> ksoftirqd_;  // schedstat, by place of the CPU
  std::vector<Counted> before_;
  std::vector<Counted> now_;
  std::vector<char> text_;
};

}  // namespace cgctl::holds
