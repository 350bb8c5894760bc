// SPDX-FileCopyrightText: The cgctl authors
// SPDX-License-Identifier: MIT
#pragma once

#include <utility>

#include "cgctl/error.hpp"
#include "kernel/loader.hpp"
#include "kernel/walk.h"

namespace cgctl::kernel {

/// The BPF program that walks, and the memory that it shares with this process.
class Program {
 public:
  /// Loads the program for the first way that this kernel has. The errors are those of
  /// LoadedProgram::load().
  [[nodiscard]] static Result<Program> load(const cgctl_layout& layout);
  [[nodiscard]] static Result<Program> load(const cgctl_layout& layout, Way way);

  /// The memory that a run reads its place from and writes its records to.
  [[nodiscard]] cgctl_walk& shared() noexcept { return *static_cast<cgctl_walk*>(code_.value()); }

  /// Runs the program once: at most cgctl_walk.steps cgroups.
  [[nodiscard]] Status run() { return code_.run(); }
  /// Detaches the program from the kernel until the next run.
  void detach() noexcept { code_.detach(); }

 private:
  explicit Program(LoadedProgram code) noexcept : code_(std::move(code)) {}

  LoadedProgram code_;
};

}  // namespace cgctl::kernel
