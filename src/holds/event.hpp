// SPDX-FileCopyrightText: The cgctl authors
// SPDX-License-Identifier: MIT
#pragma once

#include <linux/perf_event.h>

#include <algorithm>
#include <array>
#include <cstddef>
#include <cstdint>
#include <cstring>
#include <utility>

#include "cgctl/error.hpp"
#include "cgctl/unique_fd.hpp"
#include "holds/grouping.hpp"

namespace cgctl::holds {

/// Returns the pages of a buffer of this size, a power of two.
std::size_t pages_of(std::size_t kib) noexcept;

/// An event of the kernel on one CPU, perf_event_open(2), and the buffer of its records. Several
/// events may share a buffer.
class Event {
 public:
  /// Opens an event that does not record yet; its buffer has `pages` pages, a power of two.
  [[nodiscard]] static Result<Event> open(perf_event_attr attributes, std::uint32_t cpu,
                                          std::size_t pages);
  /// Opens an event that records into the buffer of another one.
  [[nodiscard]] static Result<Event> open_into(perf_event_attr attributes, std::uint32_t cpu,
                                               const Event& other);

  Event() noexcept = default;
  Event(Event&& other) noexcept
      : fd_(std::move(other.fd_)),
        member_(std::move(other.member_)),
        memory_(std::exchange(other.memory_, nullptr)),
        size_(std::exchange(other.size_, 0)) {}
  Event& operator=(Event&& other) noexcept {
    std::swap(fd_, other.fd_);
    std::swap(member_, other.member_);
    std::swap(memory_, other.memory_);
    std::swap(size_, other.size_);
    return *this;
  }
  Event(const Event&) = delete;
  Event& operator=(const Event&) = delete;
  ~Event();

  [[nodiscard]] explicit operator bool() const noexcept { return static_cast<bool>(fd_); }
  /// Opens an event that counts whenever this one records. The records then have its count.
  [[nodiscard]] Status add_counter(perf_event_attr attributes, std::uint32_t cpu);
  /// Makes the kernel record only what the filter of tracefs lets pass.
  [[nodiscard]] Status filter(const char* text) const;
  void enable() const noexcept;
  void disable() const noexcept;

  /// Calls visit(type, body, size) for each record in the buffer, and frees their room. The body is
  /// aligned for 64 bit numbers.
  template <class Visit>
  void drain(Visit visit) const noexcept {
    if (memory_ == nullptr) return;
    const std::uint64_t end = head();
    std::uint64_t at = meta().data_tail;
    while (at < end) {
      perf_event_header header{};
      copy(at, &header, sizeof header);
      if (header.size < sizeof header) break;
      const std::size_t body = header.size - sizeof header;
      std::array<std::uint64_t, most_words> words;
      if (body <= sizeof words) {
        copy(at + sizeof header, words.data(), body);
        visit(header, words.data(), body / sizeof(std::uint64_t));
      }
      at += header.size;
    }
    free_until(end);
  }

 private:
  static constexpr std::size_t most_words = 256;

  [[nodiscard]] perf_event_mmap_page& meta() const noexcept {
    return *static_cast<perf_event_mmap_page*>(memory_);
  }
  [[nodiscard]] std::uint64_t head() const noexcept {
    return __atomic_load_n(&meta().data_head, __ATOMIC_ACQUIRE);
  }
  void free_until(std::uint64_t tail) const noexcept {
    __atomic_store_n(&meta().data_tail, tail, __ATOMIC_RELEASE);
  }
  /// Copies bytes out of the buffer, which is a ring.
  void copy(std::uint64_t at, void* out, std::size_t size) const noexcept;

  UniqueFd fd_;
  UniqueFd member_;         // the counter of this event's group
  void* memory_ = nullptr;  // a page of the kernel's, then the buffer
  std::size_t size_ = 0;    // of the buffer
};

/// Returns the attributes of an event that samples a CPU. It needs a counter of switching().
perf_event_attr sampling(std::chrono::microseconds interval) noexcept;
/// Returns the attributes of an event that counts how often a CPU went from one task to another.
perf_event_attr switching() noexcept;
/// Reads a record of sampling(); false if it is too short or has no counter.
bool read_sample(const perf_event_header& header, const std::uint64_t* words, std::size_t count,
                 const Symbols& symbols, Sample& out) noexcept;

/// Returns the attributes of an event that records a tracepoint of tracefs.
perf_event_attr tracing(std::uint64_t id) noexcept;
/// A record of a tracepoint.
struct Traced {
  Time at{};
  std::uint16_t id = 0;
};
/// Reads a record of such an event; false if it is too short.
bool read_traced(const std::uint64_t* words, std::size_t count, Traced& out) noexcept;

}  // namespace cgctl::holds
