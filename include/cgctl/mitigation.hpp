// SPDX-FileCopyrightText: The cgctl authors
// SPDX-License-Identifier: MIT
#pragma once

#include <chrono>
#include <cstdint>
#include <optional>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "cgctl/error.hpp"
#include "cgctl/host.hpp"
#include "cgctl/numa_stat.hpp"
#include "cgctl/unique_fd.hpp"
#include "cgctl/zombies.hpp"

/// Freeing zombies: look (observe), decide (a pure function), act by the mildest thing that works,
/// and prove what it did.
///
///     auto host = cgctl::Host::detect();
///     cgctl::mitigation::Policy policy;
///     cgctl::numa::CostGuard guard;
///     auto before = cgctl::mitigation::observe(*host, guard, policy);
///     auto plan = cgctl::mitigation::decide(*before, {}, policy, now);
///     if (plan.decision == Decision::act) auto outcome = cgctl::mitigation::carry_out(*host,
///     guard, plan, policy, *before);
namespace cgctl::mitigation {

/// The steps of the ladder, mildest first.
enum class Rung {
  reclaim,          ///< v2 memory.reclaim (Linux 5.19) of the cgroups the zombies hang below
  drop_page_cache,  ///< sync, then 1 > /proc/sys/vm/drop_caches (admin-guide/sysctl/vm.rst)
  drop_slab,        ///< 2 > drop_caches: dentries and inodes
  drop_all,         ///< sync, then 3 > drop_caches: both
};

/// "memory.reclaim", "drop_caches=1", "drop_caches=2", "drop_caches=3".
std::string_view to_string(Rung rung) noexcept;

enum class Guards { obey, override_all };

/// When to act, and within which limits.
struct Policy {
  std::uint64_t zombies_high = 1000;  ///< act from this many on
  std::uint64_t zombies_low = 500;    ///< climb the ladder until this few are left
  /// Act when one read of the root's memory.numa_stat costs more than this and there are zombies to
  /// blame.
  std::chrono::nanoseconds read_cost_limit = std::chrono::milliseconds(10);

  std::chrono::seconds min_interval = std::chrono::minutes(10);  ///< between two actions
  std::chrono::seconds max_interval =
      std::chrono::hours(24);     ///< what doubling after useless actions ends at
  double io_pressure_limit = 40;  ///< percent, "some avg10" of io; above it an action is refused
  double memory_pressure_limit = 20;  ///< percent, "full avg10" of memory

  std::chrono::nanoseconds deadline = std::chrono::seconds(60);  ///< of one rung
  std::chrono::nanoseconds still_for =
      std::chrono::seconds(2);  ///< the count stands still when unchanged so long
  std::chrono::nanoseconds settle_limit = std::chrono::seconds(30);  ///< no longer wait for it to
  std::uint64_t reclaim_chunk = std::uint64_t{32} << 20;  ///< bytes a write to memory.reclaim
  double min_effect =
      0.1;  ///< the share of the zombies that must go for an action to count as effective

  std::optional<Rung> only;  ///< one rung instead of the ladder, whatever the thresholds say
  Guards guards = Guards::obey;
};

/// What the machine looks like.
struct Observation {
  zombies::Count zombies;
  std::optional<std::chrono::nanoseconds> read_cost;  ///< of the root's memory.numa_stat
  bool read_cost_measured = false;  ///< false: an upper bound, predicted from a smaller read
  /// What the zombies' pages are; absent on v2, or when it would have taken too long to find out.
  std::optional<zombies::Residual> residual;
  zombies::SlabPins slab = zombies::SlabPins::unknown;
  std::vector<zombies::Ancestor> ancestors;
  bool can_reclaim = false;  ///< memory.reclaim is there
  /// The kernel hands the pages of a removed cgroup to the one above (Linux 7.1), so that no page
  /// keeps it; absent where it was not asked (v1, fewer zombies than zombies_high) or cannot be.
  std::optional<bool> pages_reparented;
  std::optional<double> io_pressure;      ///< percent, some avg10
  std::optional<double> memory_pressure;  ///< percent, full avg10
  std::uint64_t page_cache = 0;           ///< bytes in the page cache of the whole machine
  std::uint64_t page_size = 4096;
};

/// Bytes in the page cache of the whole machine without tmpfs and shared memory, which no drop
/// frees; 0 where /proc/vmstat does not tell.
std::uint64_t page_cache(const Host& host);

/// What earlier runs left behind.
struct History {
  std::optional<std::chrono::seconds> last_action;  ///< CLOCK_BOOTTIME of its end
  unsigned ineffective = 0;                         ///< actions in a row that freed next to nothing
};

enum class Decision { idle, act, refused };

/// "idle", "act", "refused".
std::string_view to_string(Decision decision) noexcept;

struct Plan {
  Decision decision = Decision::idle;
  std::string reason;  ///< one sentence with the figures it rests on
  std::vector<Rung> ladder;
};

/// Looks at the machine; costs one count, one attribution and at most one read of the root's
/// numa_stat, which the guard admits or replaces by its prediction. On v2 with as many zombies as
/// call for action it makes a cgroup for a moment, to ask the kernel whether pages keep zombies.
Result<Observation> observe(const Host& host, numa::CostGuard& guard, const Policy& policy);

/// The decision: no clock, no I/O. `now` is CLOCK_BOOTTIME.
Plan decide(const Observation& seen, const History& history, const Policy& policy,
            std::chrono::seconds now);

/// What holds the zombies, as far as the observation tells, and what would free them: sentences for
/// a person. Empty when it tells nothing.
std::string explain_pins(const Observation& seen);

enum class End { done, timed_out, failed };

/// "done", "timed_out", "failed".
std::string_view to_string(End end) noexcept;

/// One rung that was tried.
struct Action {
  Rung rung = Rung::drop_page_cache;
  End end = End::done;
  std::chrono::nanoseconds
      duration{};  ///< until the kernel was done, without the waiting for the count to settle
  std::uint64_t zombies_before = 0;
  std::uint64_t zombies_after = 0;
  std::optional<Error> error;  ///< with End::failed and End::timed_out
};

enum class Effect { none, effective, ineffective };

std::string_view to_string(Effect effect) noexcept;

struct Outcome {
  std::vector<Action> actions;
  Observation after;
  Effect effect = Effect::none;
  std::string explanation;  ///< why zombies are left, when ineffective
};

/// Climbs the plan's ladder until at most zombies_low are left. Each rung runs in a child process
/// with a deadline (a write to drop_caches cannot be interrupted otherwise); the child makes system
/// calls only, so that a program with threads may call this. After each rung the count is polled
/// until it stands still. Blocks for seconds. The error of the last rung when every rung failed
/// (EACCES: not root).
Result<Outcome> carry_out(const Host& host, numa::CostGuard& guard, const Plan& plan,
                          const Policy& policy, const Observation& before);

/// One rung by itself, without counting: what `cgctl drop-caches` does. errc::timed_out when the
/// deadline passed.
Result<std::chrono::nanoseconds> drop_caches(const Host& host, Rung rung,
                                             std::chrono::nanoseconds deadline);

/// The lock against a second instance, and the history kept between runs: two small files in a
/// directory of their own (such as /run/cgctl). Replaced atomically; of another boot or not
/// understood, the history counts as empty.
class Store {
 public:
  /// Makes the directory when it is missing (one level) and takes the lock. errc::busy when another
  /// instance has it.
  static Result<Store> open(const Host& host, const std::string& directory);
  /// The history without lock and without making anything: for a dry run. Empty when there is none.
  static Result<History> peek(const Host& host, const std::string& directory);

  [[nodiscard]] Result<History> load() const;
  Status save(const History& history) const;

  /// Set by load() when the file could not be understood and was renamed out of the way.
  [[nodiscard]] const std::string& warning() const noexcept { return warning_; }

 private:
  Store(std::string directory, UniqueFd lock, std::string boot_id) noexcept
      : directory_(std::move(directory)), lock_(std::move(lock)), boot_id_(std::move(boot_id)) {}

  std::string directory_;
  UniqueFd lock_;
  std::string boot_id_;
  mutable std::string warning_;
};

}  // namespace cgctl::mitigation
