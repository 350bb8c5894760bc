// SPDX-FileCopyrightText: The cgctl authors
// SPDX-License-Identifier: MIT
#pragma once

#include <memory>

#include "cgctl/error.hpp"
#include "cgctl/unique_fd.hpp"
#include "kernel/walk.h"

namespace cgctl::kernel {

/// The BPF program that walks, and the memory that it shares with this process. Both are gone with
/// the process, however that ends: nothing is attached or pinned.
class Program {
 public:
  /// Needs CAP_BPF and CAP_PERFMON (CAP_SYS_ADMIN before Linux 5.8), and Linux 5.10 for a run
  /// without an event. errc::unsupported or errc::system with the cause otherwise.
  [[nodiscard]] static Result<Program> load(const cgctl_layout& layout);

  /// The memory that a run reads its place from and writes its records to.
  [[nodiscard]] cgctl_walk& shared() noexcept { return *shared_; }

  /// Runs the program once: at most cgctl_steps cgroups.
  [[nodiscard]] Status run() const;

 private:
  struct Unmap {
    void operator()(cgctl_walk* walk) const noexcept;
  };
  Program() = default;
  [[nodiscard]] Status make_map();
  [[nodiscard]] Status load_code();

  UniqueFd map_;
  UniqueFd program_;
  std::unique_ptr<cgctl_walk, Unmap> shared_;
};

}  // namespace cgctl::kernel
