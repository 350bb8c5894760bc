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

/// What happened to a cgroup's memory, and waiting for it.
namespace cgctl::memory {

/// How often, since the cgroup was made. What the version or kernel lacks is absent.
struct Events {
  std::optional<std::uint64_t> low;       ///< v2: reclaimed although below memory.low
  std::optional<std::uint64_t> high;      ///< v2: slowed down beyond memory.high
  std::optional<std::uint64_t> max;       ///< the limit was about to be passed; v1: memory.failcnt
  std::optional<std::uint64_t> oom;       ///< v2: the limit was reached and an allocation to fail
  std::optional<std::uint64_t> oom_kill;  ///< processes killed so (v1: Linux 4.13)
  std::optional<std::uint64_t> oom_group_kill;  ///< v2: whole cgroups killed so (Linux 5.17)
  std::size_t skipped_lines = 0;                ///< left out, not of the form "NAME NUMBER"
};

/// v2: memory.events, of it and all below. v1: memory.failcnt and memory.oom_control, of it alone.
[[nodiscard]] Result<Events> events(const Group& group);
/// Of it alone: v2 memory.events.local (Linux 5.2); the same as events() on v1.
[[nodiscard]] Result<Events> local_events(const Group& group);

/// The most that was in use, with a beginning of one's own where the kernel can: v2 memory.peak
/// (Linux 5.19), where since Linux 6.12 (commit c6f53ed8f213) a reset counts for the descriptor it
/// is written to; on v1 memory.max_usage_in_bytes, where it counts for everybody.
class Peak {
 public:
  [[nodiscard]] static Result<Peak> open(const Group& group);
  /// In bytes. errc::vanished once the cgroup is removed.
  [[nodiscard]] Result<std::uint64_t> read() const;
  /// The peak counts from now on. errc::unsupported where the file can only be read.
  [[nodiscard]] Status reset() const;

 private:
  Peak(UniqueFd fd, std::string path, bool writable) noexcept;

  UniqueFd fd_;
  std::string path_;
  bool writable_;
};

/// Pressure levels of v1's memory.pressure_level (cgroup-v1/memory.rst section 11).
enum class Level { low, medium, critical };

/// Waits for something to happen to a cgroup's memory, in a caller's event loop: descriptor() is
/// readable (POLLIN) once it has, take() makes it quiet again. Level-triggered: no thread, no
/// signal. More than one event may stand behind one take().
class Watch {
 public:
  /// An OOM condition. v2: any change of memory.events (inotify on it: cgroup-v2.rst says that a
  /// file-modified event is made), so compare events() before and after. v1: memory.oom_control,
  /// whose notice comes before the kill: Events::oom_kill rises a moment later, or never where OOM
  /// kills are off. Read events() again after a pause before you trust an unchanged count.
  [[nodiscard]] static Result<Watch> oom(const Group& group);
  /// The usage has passed `bytes`, upwards or downwards: v1 only.
  [[nodiscard]] static Result<Watch> threshold(const Group& group, std::uint64_t bytes);
  /// Reclaim has become that hard: v1 only. On v2 use memory.pressure.
  [[nodiscard]] static Result<Watch> pressure(const Group& group, Level level);

  /// For poll(2) or epoll(7), POLLIN; not to be read from or closed.
  [[nodiscard]] int descriptor() const noexcept { return fd_.get(); }
  /// How many notices there were since the last take(); 0 when there was none, which does not
  /// block. errc::vanished once the cgroup is removed; on v1 its removal is a notice as well, on v2
  /// it is none.
  [[nodiscard]] Result<std::uint64_t> take() const;

 private:
  Watch(UniqueFd fd, UniqueFd file, std::string path, Version version) noexcept;
  [[nodiscard]] static Result<Watch> register_v1(const Group& group, const char* file,
                                                 const std::string& argument);

  UniqueFd fd_;    // inotify or eventfd
  UniqueFd file_;  // what is watched
  std::string path_;
  Version version_;
};

}  // namespace cgctl::memory
