// SPDX-FileCopyrightText: The cgctl authors
// SPDX-License-Identifier: MIT
#pragma once

#include <array>
#include <cstddef>
#include <cstdint>
#include <vector>

#include "cgctl/census.hpp"
#include "kernel/layout.hpp"
#include "kernel/program.hpp"

namespace cgctl::kernel {

/// Walks the kernel's memory cgroups with the program.
class Walker {
 public:
  Walker(Program program, const Layout& layout, bool births) noexcept
      : program_(std::move(program)), layout_(layout), births_(births) {}

  [[nodiscard]] Status take(census::Snapshot& snapshot, std::vector<char>& names);

 private:
  [[nodiscard]] Status walk(census::Snapshot& snapshot, std::vector<char>& names);
  struct Place {  // of a cgroup between the root and the one visited last, both included
    std::uint64_t css;
    std::uint64_t serial;
    std::size_t index;
  };
  void start();
  [[nodiscard]] Status run_once(census::Snapshot& snapshot);
  [[nodiscard]] bool add(const cgctl_record& record, census::Snapshot& snapshot,
                         std::vector<char>& names);
  [[nodiscard]] bool recover();
  void read_memory(const cgctl_record& record, census::Memory& own) const;
  void read_counters(const cgctl_record& record);
  void finish(census::Snapshot& snapshot, const std::vector<char>& names) const;

  Program program_;
  Layout layout_;
  bool births_;
  std::vector<Place> above_;
  std::vector<std::size_t> name_ends_;
  std::vector<std::array<std::int64_t, counters>> charged_;
};

}  // namespace cgctl::kernel
