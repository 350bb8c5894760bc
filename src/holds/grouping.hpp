// SPDX-FileCopyrightText: The cgctl authors
// SPDX-License-Identifier: MIT
#pragma once

#include <array>
#include <cstdint>

#include "cgctl/holds.hpp"
#include "holds/symbols.hpp"

namespace cgctl::holds {

/// One sample of a CPU.
struct Sample {
  Time at{};
  pid_t pid = 0;
  pid_t tid = 0;
  bool kernel = false;         ///< taken inside the kernel
  std::uint64_t switches = 0;  ///< how often the CPU went from one task to another until now
  /// A hash of the registers with which the task entered the kernel; 0 for a thread of the kernel.
  /// Two system calls of one task have different ones, unless the program repeats a call in a loop
  /// that changes no register.
  std::uint64_t entry = 0;
  std::uint64_t argument = 0;  ///< first argument of the system call
  Cause cause = Cause::other;
  std::uint16_t function = Symbols::none;  ///< tells the cause
  std::uint16_t call = Symbols::none;
  const std::uint64_t* chain = nullptr;  ///< functions from the innermost to the outermost
  std::size_t depth = 0;
};

/// Finds the cause of a sample in its callchain, from the innermost function to the outermost.
void classify(const Symbols& symbols, const std::uint64_t* chain, std::size_t length,
              Sample& out) noexcept;

/// Consecutive samples of one task in one system call.
struct Group {
  Time first{};
  Time last{};
  pid_t pid = 0;
  pid_t tid = 0;
  std::uint64_t entry = 0;
  std::uint64_t argument = 0;
  std::uint16_t call = Symbols::none;
  std::uint32_t samples = 0;  ///< 0: there is no such group
  std::array<std::uint32_t, cause_count> of_cause{};
  std::array<std::uint16_t, cause_count> functions{};
  bool named = false;                     ///< for the user of the group
  std::array<std::uint64_t, 32> chain{};  ///< of the first sample, from the outermost function
  std::size_t depth = 0;
  std::size_t common = 0;  ///< outer functions that all samples share, with their places

  /// Returns the first cause that at least half of the samples have. So one sample in a function
  /// that many system calls use for a moment does not name a cause.
  [[nodiscard]] Cause cause() const noexcept;
  /// Returns an address in the innermost function in which all samples were: the one that the
  /// innermost common place has called.
  [[nodiscard]] std::uint64_t address() const noexcept;
};

/// Groups the samples of one CPU.
class Grouping {
 public:
  explicit Grouping(Time interval) noexcept : interval_(interval) {}

  /// Adds a sample. Returns true if a group has ended, which is then in `ended`.
  bool add(const Sample& sample, Group& ended) noexcept;
  /// Ends the present group, because samples were lost or none will follow.
  bool end(Group& ended) noexcept;

  [[nodiscard]] Group& present() noexcept { return present_; }

 private:
  /// The time and the switches since the latest sample of the CPU.
  struct Gap {
    Time time{};  ///< 0: not known
    std::uint64_t switches = 0;
  };
  [[nodiscard]] Gap gap_before(const Sample& sample) noexcept;
  [[nodiscard]] bool continues(const Sample& sample, Gap gap) const noexcept;
  [[nodiscard]] Time beginning_of(const Sample& sample, Gap gap) const noexcept;
  void extend(const Sample& sample) noexcept;
  bool close(Group& ended) noexcept;

  Time interval_;
  Time latest_{};               ///< time of the latest sample of any task; 0: not known
  std::uint64_t switches_ = 0;  ///< until the latest sample
  bool idle_seen_ = false;      ///< the kernel samples this CPU when it is idle, too
  Group present_;
};

}  // namespace cgctl::holds
