// SPDX-FileCopyrightText: The cgctl authors
// SPDX-License-Identifier: MIT
#pragma once

#include <sys/types.h>

#include <algorithm>
#include <array>
#include <chrono>
#include <cstddef>
#include <cstdint>
#include <memory>
#include <optional>
#include <string_view>
#include <vector>

#include "cgctl/error.hpp"
#include "cgctl/host.hpp"

/// Watches a running machine for tasks that hold a CPU inside the kernel, such as a read of
/// memory.numa_stat that walks thousands of cgroups, and for work that waits meanwhile: network
/// packets (the softirq NET_RX) and programs. The kernel samples each CPU about 1,000 times a
/// second (perf_event_open(2), software clock, so that it works in virtual machines too). Nothing
/// in the kernel outlives the process.
///
///     auto watch = holds::Watch::start(host);
///     holds::Hold hold;
///     for (;;) {                                   // at least four times a second
///       watch->poll();
///       while (watch->next(hold)) use(hold);
///     }
namespace cgctl::holds {

/// A time of CLOCK_MONOTONIC, or a duration.
using Time = std::chrono::nanoseconds;

/// A text of at most `size` bytes; a longer one is cut.
template <std::size_t size>
class Text {
 public:
  Text() = default;
  Text(std::string_view text) noexcept {
    used_ = static_cast<std::uint16_t>(std::min(text.size(), size));
    std::copy_n(text.data(), used_, bytes_.data());
  }
  [[nodiscard]] std::string_view view() const noexcept { return {bytes_.data(), used_}; }
  [[nodiscard]] bool empty() const noexcept { return used_ == 0; }

 private:
  std::array<char, size> bytes_{};
  std::uint16_t used_ = 0;
};

/// The kernel's work during a hold.
enum class Cause {
  numa_stat,      ///< a read of memory.numa_stat
  memory_stat,    ///< a read of memory.stat
  drop_caches,    ///< a write to /proc/sys/vm/drop_caches
  slab_shrinker,  ///< reclaim of dentries, inodes and the like
  flush,          ///< summing up of the statistics of cgroups, for another reason than those above
  memory_cgroup,  ///< another function of memory cgroups, such as a walk of all of them
  cgroup_file,    ///< a read of or a write to another file of cgroupfs or sysfs
  other           ///< other code of the kernel, in one system call; may harm nobody
};
inline constexpr std::size_t cause_count = 8;

/// "numa_stat", "memory_stat", ...
[[nodiscard]] std::string_view to_string(Cause cause) noexcept;

/// A task, and its work in the kernel.
struct Task {
  pid_t pid = 0;
  pid_t tid = 0;
  Cause cause = Cause::other;
  Text<16> comm;              ///< name of the thread; empty if it ended too early
  Text<200> cgroup;           ///< memory cgroup of the process; empty if it ended too early
  Text<48> function;          ///< function of the kernel that tells the cause; see name_functions()
  std::uint64_t address = 0;  ///< in the innermost function that all samples share
  Text<16> call;              ///< name of the system call, "read"; empty if it is not known
  Text<200> file;  ///< path of the file that is read or written; empty if it is not known
};

/// A time during which one task stayed in the kernel on one CPU without returning to its program.
/// Start and end are accurate to the interval of the samples.
struct Hold {
  Time start{};
  Time end{};
  std::uint32_t cpu = 0;
  std::uint32_t samples = 0;
  Task task;
  [[nodiscard]] Time length() const noexcept { return end - start; }
};

/// A time during which work wanted to run on a CPU and did not.
struct Wait {
  enum class Kind {
    net_rx,  ///< received packets, from irq:softirq_raise to irq:softirq_entry
    wake_up  ///< a thread that was due to wake up
  };
  Kind kind = Kind::net_rx;
  std::uint32_t cpu = 0;
  Time start{};
  Time end{};
  [[nodiscard]] Time length() const noexcept { return end - start; }
};

/// All that tasks of one name, in one cgroup, did for one cause. Counts short times too, which are
/// no Hold.
struct Total {
  Task task;                ///< of the longest time
  std::uint64_t holds = 0;  ///< those of Settings::shortest or more
  std::uint64_t samples = 0;
  Time held{};  ///< sum of all times, short ones included
  Time longest{};
  std::uint32_t longest_cpu = 0;
};

/// The figures of one CPU since the start.
struct Cpu {
  std::uint32_t cpu = 0;
  std::uint64_t samples = 0;
  std::uint64_t lost = 0;   ///< samples for which the buffer had no room
  Time held{};              ///< time for all causes but Cause::other, short times included
  Time longest_hold{};      ///< for all causes but Cause::other
  std::uint64_t waits = 0;  ///< those of Settings::shortest or more
  std::optional<Time> longest_wait;
  std::uint64_t net_rx = 0;                   ///< runs of the softirq (/proc/softirqs)
  std::optional<std::uint64_t> time_squeeze;  ///< NET_RX ended with packets left (softnet_stat)
  std::optional<std::uint64_t> dropped;       ///< packets, since the backlog was full
  std::optional<std::uint64_t> backlog;  ///< most packets seen in the backlog, since Linux 5.14
  std::optional<Time> ksoftirqd_wait;  ///< time for which ksoftirqd waited for the CPU (schedstat)
};

/// The means that are not there, each with its reason and remedy.
struct Missing {
  std::optional<Error> sampling;  ///< no holds: perf_event_open(2) is refused
  std::optional<Error> symbols;   ///< only Cause::other: /proc/kallsyms shows no addresses
  std::optional<Error> net_rx;    ///< no Wait::Kind::net_rx: no tracefs, or tracing is refused
  std::optional<Error>
      wake_up;  ///< no Wait::Kind::wake_up; tried only if net_rx is missing and Settings::wake_up
  std::optional<Error> counters;  ///< no figures of softirqs
};

struct Settings {
  std::chrono::microseconds interval{1003};      ///< of the samples; 1003: 997 a second
  Time shortest = std::chrono::milliseconds(4);  ///< shorter holds and waits are only counted
  std::size_t buffer_kib = 256;                  ///< for each CPU; rounded up to a power of two
  std::size_t most = 2048;                       ///< holds, and waits, kept for next()
  bool wake_up = true;  ///< without tracefs, measure by a process on each CPU, woken every 2 ms
};

/// Watches all CPUs that are online at the start. Not for concurrent use.
class Watch {
 public:
  /// Starts to watch, by those means that this process may use; missing() has the others, with the
  /// reasons. All of them need root, or CAP_PERFMON and CAP_SYSLOG. Fails without memory or
  /// descriptors, and with errc::unsupported for a captured tree.
  [[nodiscard]] static Result<Watch> start(const Host& host, const Settings& settings = {});

  Watch(Watch&& other) noexcept;
  Watch& operator=(Watch&& other) noexcept;
  Watch(const Watch&) = delete;
  Watch& operator=(const Watch&) = delete;
  ~Watch();

  /// Reads what the kernel has recorded since the last call. Call it at least four times a second;
  /// ten times a second names short-lived processes more often. Does not allocate.
  void poll() noexcept;
  /// Ends the recording. Ends the holds that still last. The figures stay.
  void stop() noexcept;

  /// Moves the oldest hold that has ended, or wait, to `out`; false if there is none.
  [[nodiscard]] bool next(Hold& out) noexcept;
  [[nodiscard]] bool next(Wait& out) noexcept;

  [[nodiscard]] const std::vector<Cpu>& cpus() const noexcept;
  /// Returns the totals, largest Total::held first: at most 64 of them. The last one may stand for
  /// all others; its task has no pid then.
  [[nodiscard]] std::vector<Total> totals() const;
  /// Names the functions of Cause::other. Reads /proc/kallsyms, which takes about 0.1 s, and needs
  /// some 70 bytes of memory for each hold and total.
  void name_functions(std::vector<Hold>& holds, std::vector<Total>& totals) const;
  /// Returns the holds and waits for which there was no room (Settings::most).
  [[nodiscard]] std::uint64_t forgotten() const noexcept;
  [[nodiscard]] const Missing& missing() const noexcept;
  [[nodiscard]] Time started() const noexcept;
  /// Returns the time of the last poll().
  [[nodiscard]] Time polled() const noexcept;

 private:
  class State;
  explicit Watch(std::unique_ptr<State> state) noexcept;
  std::unique_ptr<State> state_;
};

}  // namespace cgctl::holds
