// SPDX-FileCopyrightText: The cgctl authors
// SPDX-License-Identifier: MIT
#pragma once

#include <array>
#include <chrono>
#include <cstdint>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "cgctl/error.hpp"
#include "cgctl/zombies.hpp"

/// When and how to free zombies: the decision as a pure function of what is seen, what was done
/// before and what is configured. Nothing here reads a clock or a file.
namespace cgctl::mitigation {

/// The steps of the ladder, mildest first.
enum class Rung {
  reap,     ///< 1 > /sys/kernel/mm/memcg_reaper/reap (Alibaba Cloud Linux; memcg_zombie_reaper.rst)
  advise,   ///< posix_fadvise(2) POSIX_FADV_DONTNEED on the files configured
  reclaim,  ///< v2 memory.reclaim (Linux 5.19) of the cgroups the zombies hang below
  drop_page_cache,  ///< sync, then 1 > /proc/sys/vm/drop_caches (admin-guide/sysctl/vm.rst)
  drop_slab,        ///< 2 > drop_caches: dentries and inodes
  drop_all,         ///< sync, then 3 > drop_caches: both
};
inline constexpr std::size_t rung_count = 6;

/// "memcg_reaper", "fadvise", "memory.reclaim", "drop_caches=1", "drop_caches=2", "drop_caches=3".
std::string_view to_string(Rung rung) noexcept;
/// The rung of that name.
std::optional<Rung> rung_named(std::string_view name) noexcept;

/// All rungs but drop_all, mildest first.
std::vector<Rung> default_ladder();

enum class Guards { obey, override_all };

/// A point in the week, local time.
struct LocalTime {
  unsigned weekday = 0;  ///< 0 is Monday
  unsigned minute = 0;   ///< of the day, 0..1439
};

/// A span of the day on some days of the week, local time. With `to` not after `from` it ends on
/// the next day.
struct Window {
  std::array<bool, 7> days{};  ///< on which it begins, Monday first
  unsigned from = 0;           ///< minute of the day, 0..1439
  unsigned to = 0;             ///< minute of the day, 0..1440, not included

  [[nodiscard]] bool contains(LocalTime time) const noexcept;
};

/// When to act, and within which limits.
struct Policy {
  /// Act from this many on, and above zombies_low when there will be so many before the next action
  /// may come.
  std::uint64_t zombies_high = 1000;
  std::uint64_t zombies_low = 500;  ///< once above zombies_high, until this few are left
  /// Caches are dropped for the zombies' number only if that is worth it, see weigh(): if the
  /// zombies hold at least this share of the page cache that everybody gives up. 0: always.
  double min_gain = 0.25;
  double dead_memory = 2;  ///< percent of the machine's memory; or if they hold more than this
  /// Or if the kernel holds this many memory cgroups, dead ones included. It has 65,535 ids for
  /// them; since Linux 4.7 (commit 73f576c04b94) a dead one keeps its id only while it has pages in
  /// swap.
  std::uint64_t memcgs_high = 50'000;
  /// Act when one read of the root's memory.numa_stat costs more than this, or will before the next
  /// action may come, and there are zombies to blame.
  std::chrono::nanoseconds read_cost_limit = std::chrono::milliseconds(10);
  /// That read is measured at most this often, and once after an action; between, it is predicted.
  std::chrono::seconds probe_interval = std::chrono::minutes(10);

  /// What may be used, in this order; of these, what the machine has and what was not found useless
  /// here. drop_slab and drop_all are left out unless drop_page_cache stands before them.
  std::vector<Rung> ladder = default_ladder();
  std::vector<std::string> files;  ///< glob(7) patterns of the files whose page cache may go
  /// Mount points to write back before the page cache is dropped; all when empty.
  std::vector<std::string> sync;
  std::chrono::nanoseconds deadline = std::chrono::seconds(60);  ///< of one rung
  std::uint64_t reclaim_chunk = std::uint64_t{32} << 20;  ///< bytes a write to memory.reclaim
  /// The share of the zombies that must go for an action, or a rung, to count as effective.
  double min_effect = 0.1;
  /// A rung that was useless so many times in a row is left out for max_interval.
  unsigned useless_limit = 2;

  std::chrono::seconds min_interval = std::chrono::minutes(10);  ///< between two actions
  std::chrono::seconds max_interval =
      std::chrono::hours(24);     ///< what doubling after useless actions ends at
  unsigned actions_a_day = 24;    ///< in any 24 hours
  double io_pressure_limit = 40;  ///< percent, "some avg10" of io; above it an action is refused
  double memory_pressure_limit = 20;  ///< percent, "full avg10" of memory
  double disk_busy_limit = 90;        ///< percent of the time the busiest disk was busy
  std::uint64_t dirty_limit = std::uint64_t{1} << 30;  ///< bytes to be written back by a sync
  std::vector<Window> windows;  ///< act in these only; at any time when empty

  /// After a rung the count is waited for until it has not fallen for so long; twice as long for it
  /// to begin, since the kernel lets go of what was freed only after a while.
  std::chrono::nanoseconds still_for = std::chrono::seconds(2);
  std::chrono::nanoseconds settle_limit = std::chrono::seconds(10);  ///< longest such wait

  std::optional<Rung> only;  ///< one rung instead of the ladder, whatever the thresholds say
  Guards guards = Guards::obey;
};

/// What the machine looks like.
struct Observation {
  zombies::Count zombies;
  std::optional<std::chrono::nanoseconds> read_cost;  ///< of the root's memory.numa_stat
  bool read_cost_measured = false;  ///< false: an upper bound, predicted from another read
  /// What the zombies' pages are; absent on v2, or when it would have taken too long to find out.
  std::optional<zombies::Residual> residual;
  zombies::SlabPins slab = zombies::SlabPins::unknown;
  std::vector<zombies::Ancestor> ancestors;
  bool can_reap = false;     ///< the kernel has a reaper of zombies that can be written to
  bool can_reclaim = false;  ///< memory.reclaim is there
  /// The kernel hands the pages of a removed cgroup to the one above (Linux 7.1), so that no page
  /// keeps it; absent where it was not asked (v1, fewer zombies than zombies_high) or cannot be.
  std::optional<bool> pages_reparented;
  std::optional<double> io_pressure;      ///< percent, some avg10
  std::optional<double> memory_pressure;  ///< percent, full avg10
  std::optional<double> disk_busy;        ///< percent, the busiest disk, in the moment of looking
  std::uint64_t dirty = 0;                ///< bytes that are dirty or under writeback
  std::optional<LocalTime> local_time;
  std::uint64_t page_cache = 0;     ///< bytes in the page cache of the whole machine
  std::uint64_t kernel_memory = 0;  ///< bytes of the zombies' kernel objects, an estimate
  std::uint64_t memory = 0;         ///< bytes of memory the machine has; 0 where not known
  std::uint64_t page_size = 4096;
  /// Why figures that the kernel has could not be read; they stand here as if it had none.
  std::vector<Error> unread = {};
};

/// What is remembered of one rung.
struct RungHistory {
  std::optional<std::chrono::seconds> last;  ///< CLOCK_BOOTTIME of its end
  unsigned useless = 0;                      ///< times in a row that it freed next to nothing
  /// For good: how often it freed enough, did not, or could not be done.
  std::uint64_t effective = 0;
  std::uint64_t ineffective = 0;
  std::uint64_t failed = 0;
};

/// A measured read of the root's numa_stat.
struct Probe {
  std::optional<std::chrono::seconds> at;  ///< CLOCK_BOOTTIME; nothing: there was none
  std::chrono::nanoseconds cost{};
  std::uint64_t memcgs = 0;  ///< memory cgroups there were, removed ones included
};

/// What a look found.
struct Sample {
  std::optional<std::chrono::seconds> at;  ///< CLOCK_BOOTTIME; nothing: there was none
  std::uint64_t zombies = 0;
};

/// Actions count against actions_a_day so long.
inline constexpr std::chrono::seconds accounted = std::chrono::hours(24);

/// What earlier looks and actions left behind. Times are CLOCK_BOOTTIME; of an earlier boot they
/// are negative.
struct History {
  std::optional<std::chrono::seconds> last_action;  ///< its end
  unsigned ineffective = 0;                         ///< actions in a row that freed next to nothing
  std::vector<std::chrono::seconds> actions = {};   ///< when those accounted began
  bool alarmed = false;  ///< above zombies_high, and not below zombies_low since
  Sample sample = {};    ///< the last look
  double growth = 0;     ///< zombies a second, smoothed over ten minutes
  Probe probe = {};
  std::array<RungHistory, rung_count> rungs = {};

  [[nodiscard]] RungHistory& of(Rung rung) noexcept {
    return rungs[static_cast<std::size_t>(rung)];
  }
  [[nodiscard]] const RungHistory& of(Rung rung) const noexcept {
    return rungs[static_cast<std::size_t>(rung)];
  }
};

enum class Decision { idle, act, refused };

/// "idle", "act", "refused".
std::string_view to_string(Decision decision) noexcept;

struct Plan {
  Decision decision = Decision::idle;
  std::string reason;  ///< one sentence with the figures it rests on
  std::vector<Rung> ladder;
};

enum class End { done, timed_out, failed, cancelled };

/// "done", "timed_out", "failed", "cancelled".
std::string_view to_string(End end) noexcept;

/// One rung that was tried.
struct Action {
  Rung rung = Rung::drop_page_cache;
  End end = End::done;
  std::chrono::nanoseconds
      duration{};  ///< until the kernel was done, without the waiting for the count to settle
  std::uint64_t zombies_before = 0;
  std::uint64_t zombies_after = 0;
  Status status = {};  ///< the error of one that failed, timed out or was cancelled half-way
  /// Zombies that came between the two counts: an estimate by the rates at which they came before
  /// and after, off by a few seconds' worth of chance. 0 where no cgroups are dying.
  std::uint64_t made = 0;

  /// Zombies that went, at most those there were: before + made - after.
  [[nodiscard]] std::uint64_t freed() const noexcept;
};

/// Zombies that went by all of these.
std::uint64_t freed(const std::vector<Action>& actions) noexcept;

enum class Effect { none, effective, ineffective };

/// "none", "effective", "ineffective".
std::string_view to_string(Effect effect) noexcept;

/// The share of the zombies that a rung freed, 0..1.
double share_freed(const Action& action) noexcept;

/// Judges the rungs of an action together: effective if they freed at least Policy::min_effect of
/// the zombies there were. A cancelled action is left to the caller.
Effect effect_of(const std::vector<Action>& actions, const Policy& policy) noexcept;

/// Whether the read of the root's numa_stat may be measured again.
bool probe_due(const History& history, const Policy& policy, std::chrono::seconds now);

/// What a read costs with so many memory cgroups, by the last probe and the one property every
/// kernel has: it is at most linear in their number. For more than twice as many it is what twice
/// as many cost: beyond that it would be a guess, since a kernel that does not walk has the same
/// cost for all of them. Nothing without a probe.
std::optional<std::chrono::nanoseconds> predicted_cost(const History& history,
                                                       std::uint64_t memcgs);

/// Takes a look into account: growth, the alarm, the probe. To be called once a look, before
/// decide().
void note(History& history, const Observation& seen, const Policy& policy,
          std::chrono::seconds now);

/// Why freeing zombies is worth the page cache that dropping caches takes from everybody.
enum class Worth {
  nothing,  ///< it is not
  reads,    ///< reading the root's numa_stat is not known to be cheap
  ids,      ///< Policy::memcgs_high
  memory,   ///< Policy::dead_memory
  gain,     ///< Policy::min_gain
};

/// The gain and the cost of freeing the zombies, in bytes.
struct Balance {
  Worth worth = Worth::nothing;
  std::uint64_t held = 0;      ///< by zombies: kernel objects, and on v1 the page cache they pin
  std::uint64_t given_up = 0;  ///< page cache of the whole machine
};

/// Weighs what zombies hold against what dropping caches gives up. A read is cheap while it costs
/// at most a tenth of Policy::read_cost_limit, measured or predicted as an upper bound.
Balance weigh(const Observation& seen, const Policy& policy) noexcept;

/// The decision. `now` is CLOCK_BOOTTIME.
Plan decide(const Observation& seen, const History& history, const Policy& policy,
            std::chrono::seconds now);

/// Whether the ladder is to be climbed on to `next`, after `done`: while more than zombies_low, or
/// half of those there were, are left, those not counted that came meanwhile; to slab only where it
/// can be what pins and where dropping the page cache, done to its end, freed less than min_effect
/// (or was left out as useless).
bool climb_on(const Observation& before, const std::vector<Action>& done, Rung next,
              const Policy& policy);

/// How many actions count against actions_a_day.
std::size_t actions_accounted(const History& history, std::chrono::seconds now);

/// An action begins. To be saved before it does, so that one that is killed half-way counts.
void begin(History& history, std::chrono::seconds now);

/// An action ended.
void end(History& history, const std::vector<Action>& actions, Effect effect, const Policy& policy,
         std::chrono::seconds now);

/// What holds the zombies, as far as the observation tells, and what would free them: sentences for
/// a person. Empty when it tells nothing.
std::string explain_pins(const Observation& seen);

}  // namespace cgctl::mitigation
