// SPDX-FileCopyrightText: The cgctl authors
// SPDX-License-Identifier: MIT
#pragma once

#include <sched.h>

#include <chrono>
#include <cstdint>
#include <functional>
#include <optional>
#include <string_view>
#include <vector>

#include "cgctl/error.hpp"

namespace cgctl::detail {

/// Scheduling class of a sentinel: SCHED_FIFO with the lowest priority if that is permitted, which
/// waits only for the kernel; else the ordinary class, which also waits for its turn.
enum class SentinelClass { fifo, ordinary };

/// Returns "SCHED_FIFO" or "SCHED_OTHER".
std::string_view to_string(SentinelClass scheduling) noexcept;

/// Raises this process to the scheduling class of a sentinel.
SentinelClass rise() noexcept;
/// Sleeps until a time of CLOCK_MONOTONIC; returns how late the process woke up.
std::chrono::nanoseconds sleep_until(std::chrono::nanoseconds deadline) noexcept;

/// Delays of a process that wanted to run.
struct WakeUpDelay {
  std::chrono::nanoseconds worst{};
  std::uint64_t wake_ups = 0;
  std::chrono::nanoseconds duration{};  ///< duration of the watched work
  SentinelClass scheduling = SentinelClass::ordinary;
};

/// Returns how long other work waits during a read that took `read`, at most as long as the read;
/// nothing if the sentinel's worst delay does not tell. A sentinel of the ordinary class also waits
/// for its turn, so that its delay tells only if it is at most `harmless`.
std::optional<std::chrono::nanoseconds> delay_of_others(std::chrono::nanoseconds worst,
                                                        SentinelClass scheduling,
                                                        std::chrono::nanoseconds read,
                                                        std::chrono::nanoseconds harmless) noexcept;

/// Measures how long work on one CPU delays other work on that CPU.
class Sentinel {
 public:
  /// Pins the calling thread to its present CPU for the lifetime of the object, which must end in
  /// the same thread.
  static Result<Sentinel> on_this_cpu();

  Sentinel(Sentinel&& other) noexcept = default;
  Sentinel& operator=(Sentinel&&) = delete;
  Sentinel(const Sentinel&) = delete;
  Sentinel& operator=(const Sentinel&) = delete;
  ~Sentinel();

  [[nodiscard]] int cpu() const noexcept { return cpu_; }

  /// Runs `work` in the calling thread while a child process on the same CPU asks to be woken every
  /// 200 us. A wake-up that is due before the work ends counts, however late it comes. `work` must
  /// not throw.
  [[nodiscard]] Result<WakeUpDelay> watch(const std::function<void()>& work) const;

 private:
  /// Mask as long as the kernel's: a cpu_set_t holds 1,024 CPUs, machines can have more.
  using CpuMask = std::vector<cpu_set_t>;

  Sentinel(int cpu, CpuMask before) noexcept : cpu_(cpu), before_(std::move(before)) {}
  static Result<CpuMask> allowed_cpus();
  static int pin_to(int cpu, std::size_t mask_size);

  int cpu_;
  CpuMask before_;
};

}  // namespace cgctl::detail
