// SPDX-FileCopyrightText: The cgctl authors
// SPDX-License-Identifier: MIT
#pragma once

#include <sys/types.h>

#include <array>
#include <atomic>
#include <cstdint>
#include <utility>

#include "cgctl/holds.hpp"
#include "detail/shared_memory.hpp"

namespace cgctl::holds {

/// A child process on one CPU that asks to be woken every 2 ms and notes when it was late. It ends
/// with the thread that made it, also if that is killed. For kernels without tracefs.
class CpuSentinel {
 public:
  /// Starts the process. It notes delays of `shortest` or more.
  [[nodiscard]] static Result<CpuSentinel> post(std::uint32_t cpu, Time shortest);

  CpuSentinel() = default;
  CpuSentinel(CpuSentinel&& other) noexcept
      : notes_(std::move(other.notes_)),
        child_(std::exchange(other.child_, -1)),
        read_(other.read_) {}
  CpuSentinel& operator=(CpuSentinel&& other) noexcept {
    notes_.swap(other.notes_);
    std::swap(child_, other.child_);
    std::swap(read_, other.read_);
    return *this;
  }
  CpuSentinel(const CpuSentinel&) = delete;
  CpuSentinel& operator=(const CpuSentinel&) = delete;
  ~CpuSentinel();

  [[nodiscard]] bool posted() const noexcept { return child_ > 0; }

  /// Returns the longest delay so far.
  [[nodiscard]] Time longest() const noexcept {
    return Time(notes_->get()->longest.load(std::memory_order_relaxed));
  }
  /// Calls visit(start, end) for each new delay; the oldest ones may be overwritten.
  template <class Visit>
  void drain(Visit visit) noexcept {
    Notes& notes = *notes_->get();
    const std::uint32_t written = notes.written.load(std::memory_order_acquire);
    if (written - read_ > notes.delays.size()) read_ = written - most_notes;
    for (; read_ != written; ++read_) {
      const Delay& delay = notes.delays[read_ % most_notes];
      visit(delay.start, delay.end);
    }
  }

 private:
  static constexpr std::uint32_t most_notes = 128;
  struct Delay {
    Time start;
    Time end;
  };
  struct Notes {
    std::atomic<std::uint32_t> written{0};
    std::atomic<Time::rep> longest{0};
    std::array<Delay, most_notes> delays{};
  };
  static void stand(std::uint32_t cpu, Time shortest, Notes& notes) noexcept;

  std::unique_ptr<cgctl::detail::SharedMemory<Notes>> notes_;
  pid_t child_ = -1;
  std::uint32_t read_ = 0;
};

}  // namespace cgctl::holds
