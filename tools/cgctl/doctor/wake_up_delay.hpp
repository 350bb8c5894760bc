// SPDX-FileCopyrightText: The cgctl authors
// SPDX-License-Identifier: MIT
#pragma once

#include <sched.h>

#include <chrono>
#include <cstdint>
#include <functional>
#include <string_view>
#include <vector>

#include "cgctl/error.hpp"

namespace cgctl::tool {

/// The scheduling class a sentinel has: SCHED_FIFO with the lowest priority where that is
/// permitted, which waits for nothing but the kernel, else the ordinary one, which waits for its
/// turn too.
enum class SentinelClass { fifo, ordinary };

/// "SCHED_FIFO", "SCHED_OTHER".
std::string_view to_string(SentinelClass scheduling) noexcept;

/// How late a thread was that wanted to run.
struct WakeUpDelay {
  std::chrono::nanoseconds worst{};
  std::uint64_t wake_ups = 0;
  std::chrono::nanoseconds duration{};  ///< of the work watched
  SentinelClass scheduling = SentinelClass::ordinary;
};

/// Tells how long work on one CPU keeps others that share it waiting.
class Sentinel {
 public:
  /// Pins the calling thread to the CPU it runs on until the end of the object, which must come in
  /// the same thread.
  static Result<Sentinel> on_this_cpu();

  Sentinel(Sentinel&& other) noexcept = default;
  Sentinel& operator=(Sentinel&&) = delete;
  Sentinel(const Sentinel&) = delete;
  Sentinel& operator=(const Sentinel&) = delete;
  ~Sentinel();

  [[nodiscard]] int cpu() const noexcept { return cpu_; }

  /// Does `work` in the calling thread while another thread on the same CPU asks to be woken every
  /// 200 us. A wake-up that is due before the work ends counts, however late it comes.
  [[nodiscard]] Result<WakeUpDelay> watch(const std::function<void()>& work) const;

 private:
  /// As long as the kernel's mask is: a cpu_set_t holds 1,024 CPUs, machines can have more.
  using CpuMask = std::vector<cpu_set_t>;

  Sentinel(int cpu, CpuMask before) noexcept : cpu_(cpu), before_(std::move(before)) {}
  static Result<CpuMask> allowed_cpus();
  static int pin_to(int cpu, std::size_t mask_size);

  int cpu_;
  CpuMask before_;
};

}  // namespace cgctl::tool
