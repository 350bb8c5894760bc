// SPDX-FileCopyrightText: The cgctl authors
// SPDX-License-Identifier: MIT
#pragma once

#include <optional>
#include <string_view>
#include <vector>

#include "cgctl/error.hpp"
#include "cgctl/group.hpp"
#include "cgctl/host.hpp"
#include "cgctl/numa_stat.hpp"
#include "cgctl/unique_fd.hpp"

namespace cgctl::numa {

/// Reads a cgroup's `memory.numa_stat` repeatedly without disturbing other work. It reads the file
/// only if CostGuard allows it. Otherwise, and on a kernel without that file, it reads the root's
/// figures from the counters of the nodes (RootReader) and refuses to read any other cgroup.
///
///     auto reader = cgctl::numa::GuardedReader::open(*host);
///     cgctl::numa::NumaStat stat;
///     auto status = reader->read(stat);
///
/// Not for concurrent use.
class GuardedReader {
 public:
  /// Opens the files and measures the cost of reading a cgroup without children. Errors: those of
  /// Host::open(); errc::unsupported without a memory controller, or if a cgroup other than the
  /// root has no such file.
  [[nodiscard]] static Result<GuardedReader> open(const Host& host, std::string_view path = "/",
                                                  const CostGuard::Config& config = {});

  /// Reads the figures; NumaStat::source() tells from where. errc::over_budget if a read of a
  /// cgroup other than the root may cost more than the budget; otherwise the errors of
  /// Reader::read() and RootReader::read(). Each call also reads one file with the number of memory
  /// cgroups. On v1, if the number of all cgroups of the machine exceeds the budget, the cgroups
  /// below this one are counted instead. The guard is calibrated again Config::remeasure_after
  /// after its last calibration.
  [[nodiscard]] Status read(NumaStat& out);

  /// Returns why the last read() did not read the file; nothing if it read the file or if there is
  /// no file.
  [[nodiscard]] const std::optional<OverBudget>& refused() const noexcept { return refused_; }

 private:
  GuardedReader(Group group, const Hierarchy& memory, UniqueFd counts,
                const CostGuard::Config& config) noexcept;
  [[nodiscard]] bool is_root() const noexcept;
  [[nodiscard]] Result<std::uint64_t> memcgs_at_most();
  [[nodiscard]] Result<std::uint64_t> memcgs_below() const;
  [[nodiscard]] Result<std::uint64_t> admitted(CostGuard::Time now);
  [[nodiscard]] Status read_nodes(NumaStat& out);

  Group group_;
  const Hierarchy* memory_;  // owned by the group's host
  UniqueFd counts_;          // /proc/cgroups, or the cgroup's cgroup.stat
  std::optional<Reader> file_;
  Error missing_;  // set if there is no file_
  std::optional<RootReader> nodes_;
  std::vector<char> text_;
  CostGuard guard_;
  CostGuard::Time calibrated_{};
  std::optional<OverBudget> refused_;
};

}  // namespace cgctl::numa
