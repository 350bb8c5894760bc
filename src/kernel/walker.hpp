// SPDX-FileCopyrightText: The cgctl authors
// SPDX-License-Identifier: MIT
#pragma once

#include <array>
#include <chrono>
#include <cstddef>
#include <cstdint>
#include <vector>

#include "cgctl/census.hpp"
#include "kernel/layout.hpp"
#include "kernel/program.hpp"

namespace cgctl::kernel {

/// Walks the kernel's memory cgroups with the program. Reuses its memory from walk to walk.
class Walker {
 public:
  Walker(Program program, const Layout& layout, bool births) noexcept;

  [[nodiscard]] Status take(census::Snapshot& snapshot, const census::Wanted& wanted = {});
  [[nodiscard]] Result<census::Count> count();

 private:
  struct Place {  // of a cgroup between the root and the one visited last, both included
    std::uint64_t css;
    std::uint64_t serial;
    std::size_t index;
  };
  /// Walks all cgroups, and calls `visit(run, i)` for the i-th that a run has written.
  template <class Visit>
  [[nodiscard]] Status walk(bool with_records, Visit visit);
  void start(bool with_records);
  [[nodiscard]] Status run_once(bool with_records);
  [[nodiscard]] bool enter(const cgctl_place& place);
  [[nodiscard]] bool recover();
  void want(const census::Wanted& wanted);
  void add(const cgctl_place& place, const cgctl_record& record, census::Snapshot& snapshot);
  void add_pages(const cgctl_record& record, census::Snapshot& snapshot) const;
  void add_counters(const cgctl_record& record, census::Snapshot& snapshot) const;
  void finish(census::Snapshot& snapshot);
  void finish_own(census::Snapshot& snapshot) const;

  Program program_;
  Layout layout_;
  census::Wanted wanted_;
  std::int64_t page_;
  std::chrono::nanoseconds jiffy_;
  std::array<unsigned, 2> steps_;  // of a run, without and with records
  std::vector<Place> above_;
  std::size_t visited_ = 0;
  std::size_t runs_ = 0;
  std::size_t last_size_ = 0;  // of the last census
  std::chrono::nanoseconds longest_run_{};
  std::vector<std::size_t> name_ends_;
};

}  // namespace cgctl::kernel
