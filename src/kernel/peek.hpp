// SPDX-FileCopyrightText: The cgctl authors
// SPDX-License-Identifier: MIT
#pragma once

#include <cstddef>
#include <cstdint>
#include <utility>

#include "cgctl/error.hpp"
#include "kernel/loader.hpp"
#include "kernel/peek.h"

namespace cgctl::kernel {

/// Copies parts of the kernel's memory.
class Peek {
 public:
  /// The errors are those of LoadedProgram::load().
  [[nodiscard]] static Result<Peek> load();

  /// Makes the calling thread the one that the program works for. A child process calls this.
  void adopt() noexcept { shared().caller.owner = 0; }

  /// Copies `bytes` bytes, which are 0 where nothing is mapped. Returns false if the program does
  /// not run.
  [[nodiscard]] bool read(std::uint64_t from, void* to, std::size_t bytes);
  /// Returns the address of the calling thread's struct task_struct; 0: the program does not run.
  [[nodiscard]] std::uint64_t task();
  [[nodiscard]] std::uint64_t word(std::uint64_t from);

 private:
  explicit Peek(LoadedProgram code) noexcept : code_(std::move(code)) {}
  [[nodiscard]] cgctl_peek& shared() noexcept { return *static_cast<cgctl_peek*>(code_.value()); }

  LoadedProgram code_;
};

}  // namespace cgctl::kernel
