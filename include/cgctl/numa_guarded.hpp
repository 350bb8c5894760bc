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

/// Reads a cgroup's `memory.numa_stat` again and again and never becomes the noisy neighbour. The
/// file is read while CostGuard allows it. Else, and on a kernel that has no such file, the root is
/// read from the counters of the nodes (RootReader), and any other cgroup is refused.
///
///     auto reader = cgctl::numa::GuardedReader::open(*host);
///     cgctl::numa::NumaStat stat;
///     auto status = reader->read(stat);
///
/// Not for concurrent use.
class GuardedReader {
 public:
  /// Opens the files and measures what a read of a cgroup without children costs. Errors: those of
  /// Host::open(); errc::unsupported without a memory controller, or where a cgroup other than the
  /// root has no such file.
  [[nodiscard]] static Result<GuardedReader> open(const Host& host, std::string_view path = "/",
                                                  const CostGuard::Config& config = {});

  /// errc::over_budget when a read of a cgroup other than the root may cost more than the budget;
  /// else as of Reader::read() and RootReader::read(). NumaStat::source() tells which was read.
  /// Beyond the read, each call reads one file that says how many memory cgroups there are. With v1
  /// the cgroups below are counted where all of the machine would be too many. The guard is
  /// calibrated again when its last calibration is Config::remeasure_after ago.
  [[nodiscard]] Status read(NumaStat& out);

  /// Why the last read() did not read the file; nothing when it did, or when there is no file.
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
  const Hierarchy* memory_;  // of the group's host
  UniqueFd counts_;          // /proc/cgroups, or the cgroup's cgroup.stat
  std::optional<Reader> file_;
  Error missing_;  // why there is no file_
  std::optional<RootReader> nodes_;
  std::vector<char> text_;
  CostGuard guard_;
  CostGuard::Time calibrated_{};
  std::optional<OverBudget> refused_;
};

}  // namespace cgctl::numa
