// SPDX-FileCopyrightText: The cgctl authors
// SPDX-License-Identifier: MIT
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <utility>

#include "cgctl/error.hpp"
#include "cgctl/group.hpp"
#include "cgctl/host.hpp"
#include "cgctl/unique_fd.hpp"

/// Memory events of a cgroup: counts, the peak, and notification.
namespace cgctl::memory {

/// Numbers of events since the cgroup was made. Values that its version or kernel lacks are absent.
struct Events {
  std::optional<std::uint64_t> low;   ///< v2: reclaimed although below memory.low
  std::optional<std::uint64_t> high;  ///< v2: throttled above memory.high
  std::optional<std::uint64_t> max;   ///< usage was about to exceed the limit; v1: memory.failcnt
  std::optional<std::uint64_t> oom;   ///< v2: at the limit, an allocation was about to fail
  std::optional<std::uint64_t> oom_kill;  ///< processes killed by the OOM killer (v1: Linux 4.13)
  std::optional<std::uint64_t> oom_group_kill;  ///< v2: whole cgroups killed by it (Linux 5.17)
  std::size_t skipped_lines = 0;                ///< lines left out, not of the form "NAME NUMBER"
};

/// Reads the events. v2: memory.events, of the cgroup and all below. v1: memory.failcnt and
/// memory.oom_control, of the cgroup alone.
[[nodiscard]] Result<Events> events(const Group& group);
/// Reads the events of the cgroup alone: v2 memory.events.local (Linux 5.2); on v1 the same as
/// events().
[[nodiscard]] Result<Events> local_events(const Group& group);

/// The highest memory usage, with a reset. v2: memory.peak (Linux 5.19); a reset (Linux 6.12,
/// commit c6f53ed8f213) affects this object's descriptor only. v1: memory.max_usage_in_bytes; a
/// reset affects every reader.
class Peak {
 public:
  [[nodiscard]] static Result<Peak> open(const Group& group);
  /// Returns the peak in bytes. errc::vanished once the cgroup is removed.
  [[nodiscard]] Result<std::uint64_t> read() const;
  /// Resets the peak to the current usage. errc::unsupported if the file is read-only.
  [[nodiscard]] Status reset() const;

 private:
  Peak(UniqueFd fd, std::string path, bool writable) noexcept;

  UniqueFd fd_;
  std::string path_;
  bool writable_;
};

/// Pressure levels of v1's memory.pressure_level (cgroup-v1/memory.rst section 11).
enum class Level { low, medium, critical };

/// Reports memory events of a cgroup to the caller's event loop, without threads or signals.
/// descriptor() becomes readable (POLLIN) and stays readable until take() is called
/// (level-triggered). One take() can cover several events.
class Watch {
 public:
  /// Watches for out-of-memory (OOM) conditions. v2: inotify on memory.events, which reports any
  /// change of that file (cgroup-v2.rst: a file-modified event); compare events() before and after.
  /// v1: memory.oom_control, which notifies before the kill: Events::oom_kill rises a moment later,
  /// or never if OOM kills are off. Read events() again after a pause before trusting an unchanged
  /// count.
  [[nodiscard]] static Result<Watch> oom(const Group& group);
  /// Watches for the usage to cross `bytes`, upwards or downwards: v1 only.
  [[nodiscard]] static Result<Watch> threshold(const Group& group, std::uint64_t bytes);
  /// Watches for reclaim pressure at `level`: v1 only. On v2 use memory.pressure.
  [[nodiscard]] static Result<Watch> pressure(const Group& group, Level level);

  /// Returns the descriptor for poll(2) or epoll(7), POLLIN. Do not read from it or close it.
  [[nodiscard]] int descriptor() const noexcept { return fd_.get(); }
  /// Returns the number of notices since the last take(), 0 if there were none; does not block.
  /// errc::vanished once the cgroup is removed. On v1 the removal itself makes the descriptor
  /// readable, on v2 it does not.
  [[nodiscard]] Result<std::uint64_t> take() const;

 private:
  Watch(UniqueFd fd, UniqueFd file, std::string path, Version version) noexcept;
  [[nodiscard]] static Result<Watch> register_v1(const Group& group, const char* file,
                                                 const std::string& argument);

  UniqueFd fd_;    // an inotify or eventfd descriptor
  UniqueFd file_;  // the watched file
  std::string path_;
  Version version_;
};

}  // namespace cgctl::memory
