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

/// Decides when and how to free zombies: a pure function of the observation, the history and the
/// configuration. No function here reads a clock or a file.
namespace cgctl::mitigation {

/// The rungs of the ladder, mildest first.
enum class Rung {
  reap,     ///< the kernel's own reaper: /sys/kernel/mm/memcg_reaper (memcg_zombie_reaper.rst) or
            ///< vm.clean_dying_memcg_async
  advise,   ///< posix_fadvise(2) POSIX_FADV_DONTNEED on the configured files
  evict,    ///< posix_fadvise(2) on exactly the pages of zombies that a census names
  squeeze,  ///< v1 memory.force_empty of the zombies' live ancestors, ended after a few bytes
  node_reclaim,     ///< a few bytes > /sys/devices/system/node/nodeN/reclaim (Linux 6.17)
  reclaim,          ///< v2 memory.reclaim (Linux 5.19) of the zombies' live ancestors, or of the
                    ///< root with the multi-generational LRU (Linux 6.3)
  drop_page_cache,  ///< sync, then 1 > /proc/sys/vm/drop_caches (admin-guide/sysctl/vm.rst)
  drop_slab,        ///< 2 > drop_caches: dentries and inodes
  drop_all,         ///< sync, then 3 > drop_caches: both
};
inline constexpr std::size_t rung_count = 9;

/// Returns "memcg_reaper", "fadvise", "evict", "squeeze", "node_reclaim", "memory.reclaim",
/// "drop_caches=1", "drop_caches=2", "drop_caches=3".
std::string_view to_string(Rung rung) noexcept;
/// Returns the rung of that name; nothing if there is none.
std::optional<Rung> rung_named(std::string_view name) noexcept;

/// Returns all rungs but drop_all, mildest first.
std::vector<Rung> default_ladder();

enum class Guards { obey, override_all };

/// A minute of the week, in local time.
struct LocalTime {
  unsigned weekday = 0;  ///< 0 is Monday
  unsigned minute = 0;   ///< minute of the day, 0..1439
};

/// A maintenance window: a part of the day on some days of the week, in local time. If `to` is not
/// after `from`, it ends on the next day.
struct Window {
  std::array<bool, 7> days{};  ///< days on which it begins, Monday first
  unsigned from = 0;           ///< minute of the day, 0..1439
  unsigned to = 0;             ///< minute of the day, 0..1440, exclusive

  [[nodiscard]] bool contains(LocalTime time) const noexcept;
};

/// The configuration: when to act, and within which limits.
struct Policy {
  std::string offsets_file;  ///< census::Options::offsets_file, for every census
  /// Number of zombies from which to act. Above zombies_low, also act if this number is expected
  /// within the time that an action takes (see History::action_time) and min_interval after it.
  std::uint64_t zombies_high = 1000;
  std::uint64_t zombies_low = 500;  ///< once started, continue until this few are left
  /// Least gain for which caches are dropped because of the zombies' number, see weigh(): the bytes
  /// that zombies hold as a share of the page cache that the machine loses. 0: always drop.
  double min_gain = 0.25;
  double dead_memory = 2;  ///< also drop if zombies hold more than this percentage of memory
  /// Also drop caches if the kernel holds this many memory cgroups, removed ones included. The
  /// kernel has 65,535 ids for memory cgroups; since Linux 4.7 (commit 73f576c04b94) a removed one
  /// keeps its id only while it has pages in swap.
  std::uint64_t memcgs_high = 50'000;
  /// Act if there are zombies and one read of the root's memory.numa_stat takes longer than this,
  /// or will before the next action may start; but not if others are known to wait for less than
  /// this during the read.
  std::chrono::nanoseconds read_cost_limit = std::chrono::milliseconds(10);
  /// Least time between two measurements of the read of numa_stat, which is also measured once
  /// after an action. In between, its cost is predicted.
  std::chrono::seconds probe_interval = std::chrono::minutes(10);

  /// Rungs to use, in this order. Rungs that the machine lacks, or that were useless on it, are
  /// skipped. drop_slab and drop_all are skipped unless drop_page_cache comes before them.
  std::vector<Rung> ladder = default_ladder();
  std::vector<std::string> files;  ///< glob(7) patterns of files whose page cache may be dropped
  /// Mount points to write back before page cache is dropped or reclaimed, and on v2 by evict if
  /// there are zombies without a page; empty: all.
  std::vector<std::string> sync;
  std::chrono::nanoseconds deadline = std::chrono::seconds(60);  ///< longest time of one rung
  std::size_t evict_files = 10'000;                              ///< most files that evict opens
  /// True: evict also takes pages that one running process maps, and no other (Linux 5.10,
  /// MADV_PAGEOUT in process_madvise(2)). The process reads them again when it needs them.
  bool evict_mapped = true;
  /// Longest time in which evict searches for files, and in which it evicts them.
  std::chrono::nanoseconds evict_time = std::chrono::seconds(5);
  /// Most bytes requested by one write to memory.reclaim, or to `reclaim` of a NUMA node.
  std::uint64_t reclaim_chunk = std::uint64_t{32} << 20;
  /// Percentage of the page cache below the cgroups that squeeze and memory.reclaim reclaim from
  /// that they may take from live cgroups. Reclaim from the root or of NUMA nodes: of the
  /// machine's. memory.reclaim may take four steps, also where that is more. 0: squeeze,
  /// node_reclaim and memory.reclaim are not used, because any step may take from live cgroups.
  double cache_loss = 1;
  /// Least bytes of the first step of these three rungs. The step has a sixteenth of what the rung
  /// may take from live cgroups if that is more. It may take nothing from zombies.
  std::uint64_t first_step = std::uint64_t{256} << 10;
  /// Clean page cache that must be below a cgroup to squeeze it, in bytes. With less the kernel
  /// would take other memory.
  std::uint64_t least_cache = std::uint64_t{64} << 20;
  /// Longest CPU time of one write of squeeze; waiting included, ten times as long.
  std::chrono::nanoseconds round_time = std::chrono::milliseconds(100);
  /// A round of squeeze ends when another task of its CPU had to wait longer than this; after two
  /// such rounds the rung ends.
  std::chrono::nanoseconds longest_delay = std::chrono::milliseconds(20);
  /// Share of the zombies that an action, or a rung, must free to count as effective.
  double min_effect = 0.1;
  /// A rung that was useless this many times in a row is skipped for max_interval.
  unsigned useless_limit = 2;

  std::chrono::seconds min_interval = std::chrono::minutes(10);  ///< least time between two actions
  /// Upper limit of min_interval, which doubles after each useless action.
  std::chrono::seconds max_interval = std::chrono::hours(24);
  unsigned actions_a_day = 24;        ///< most actions in any 24 hours
  double io_pressure_limit = 40;      ///< percent ("some avg10" of io); no action above it
  double memory_pressure_limit = 20;  ///< percent ("full avg10" of memory); no action above it
  /// Percent of the time that the busiest disk was busy; no action above it.
  double disk_busy_limit = 90;
  /// Bytes to write back by a sync; no action above it.
  std::uint64_t dirty_limit = std::uint64_t{1} << 30;
  std::vector<Window> windows;  ///< act only within these; empty: at any time

  /// After a rung, counting goes on until the count has not fallen for this long. Twice this long
  /// is allowed for the first fall, because the kernel releases freed cgroups only after a while.
  std::chrono::nanoseconds still_for = std::chrono::seconds(2);
  /// Longest wait for the count to settle.
  std::chrono::nanoseconds settle_limit = std::chrono::seconds(10);

  std::optional<Rung> only;  ///< use this one rung instead of the ladder, regardless of thresholds
  Guards guards = Guards::obey;
};

/// The state of the machine that the decision depends on.
struct Observation {
  zombies::Count zombies;              ///< counted at the end, if the observation took long
  std::chrono::nanoseconds took = {};  ///< time that the observation took
  /// Cost of reading the root's memory.numa_stat.
  std::optional<std::chrono::nanoseconds> read_cost;
  bool read_cost_measured = false;  ///< false: an upper bound, predicted from another read
  /// Memory cgroups at a measured read, removed ones included. Nothing: as many as `zombies` says.
  std::optional<std::uint64_t> memcgs_at_read = {};
  /// Longest time for which other work on the CPU waits during that read; at most as long as the
  /// read. Absent if it was not measured, because the read is short or because that would take too
  /// long: then others are taken to wait for the whole read.
  std::optional<std::chrono::nanoseconds> read_delay = {};
  /// Kinds of pages that the zombies hold; absent on v2 without a census, or if finding out would
  /// have taken too long.
  std::optional<zombies::Residual> residual;
  std::optional<zombies::Source> source = {};  ///< of `residual`; absent without zombies
  zombies::SlabPins slab = zombies::SlabPins::unknown;
  std::vector<zombies::Ancestor> ancestors;
  /// Live cgroups of v1 to squeeze: the top-most ones that cover zombies with page cache.
  std::vector<zombies::Ancestor> squeezable = {};
  /// A live cgroup of v1 with zombies below and memory.use_hierarchy 0, so that squeeze does not
  /// reach them; empty if there is none.
  std::string without_hierarchy = {};
  bool can_reap = false;   ///< true if the kernel's zombie reaper can be written to
  bool can_evict = false;  ///< true if a census can name the pages of zombies
  /// The reason why a census was tried and can_evict is false; no error if there was no reason to
  /// act.
  Status census = {};
  bool can_reclaim_nodes = false;  ///< true if a NUMA node has the file `reclaim`
  bool can_reclaim = false;        ///< true if memory.reclaim exists
  /// True if the kernel moves the pages of a removed cgroup to its parent (Linux 7.1), so that
  /// pages keep no zombies. Absent if this was not tested (v1, fewer zombies than zombies_high) or
  /// cannot be.
  std::optional<bool> pages_reparented;
  std::optional<double> io_pressure;      ///< percent, "some avg10"
  std::optional<double> memory_pressure;  ///< percent, "full avg10"
  std::optional<double> disk_busy;        ///< percent, the busiest disk during the observation
  std::uint64_t dirty = 0;                ///< bytes dirty or under writeback
  std::optional<LocalTime> local_time;
  std::uint64_t page_cache = 0;     ///< bytes in the machine's page cache
  std::uint64_t kernel_memory = 0;  ///< bytes of the zombies' kernel objects, estimated
  std::uint64_t memory = 0;         ///< bytes of the machine's memory; 0 if not known
  std::uint64_t page_size = 4096;
  /// Errors of figures that the kernel has but that could not be read. Those figures are treated as
  /// absent.
  std::vector<Error> unread = {};
};

/// The history of one rung.
struct RungHistory {
  std::optional<std::chrono::seconds> last;  ///< CLOCK_BOOTTIME of its last end
  unsigned useless = 0;                      ///< times in a row that it freed too few
  /// Totals, never reset: how often it freed enough, freed too few, or failed.
  std::uint64_t effective = 0;
  std::uint64_t ineffective = 0;
  std::uint64_t failed = 0;
  std::uint64_t given_up = 0;  ///< bytes of page cache in total, see Action::given_up; never reset
};

/// A measured read of the root's numa_stat.
struct Probe {
  std::optional<std::chrono::seconds> at;  ///< CLOCK_BOOTTIME; nothing: there was none
  std::chrono::nanoseconds cost{};
  std::uint64_t memcgs = 0;  ///< memory cgroups at the time, removed ones included
  std::optional<std::chrono::nanoseconds> delay = {};  ///< see Observation::read_delay
};

/// The number of zombies at one observation.
struct Sample {
  std::optional<std::chrono::seconds> at;  ///< CLOCK_BOOTTIME; nothing: there was none
  std::uint64_t zombies = 0;
};

/// Time for which an action counts against actions_a_day.
inline constexpr std::chrono::seconds accounted = std::chrono::hours(24);

/// The record of earlier observations and actions. Times are CLOCK_BOOTTIME; times of an earlier
/// boot are negative.
struct History {
  std::optional<std::chrono::seconds> last_action;  ///< end of the last action
  unsigned ineffective = 0;                         ///< actions in a row that freed too few
  /// Starts of the actions that count against actions_a_day.
  std::vector<std::chrono::seconds> actions = {};
  /// The expected time of the next action: the time that the last one took, from the start of the
  /// observation before it, but at least half of the time expected then. Absent before the first
  /// action: Policy::deadline is expected.
  std::optional<std::chrono::seconds> action_time = {};
  bool alarmed = false;  ///< true from zombies_high until zombies_low is reached
  Sample sample = {};    ///< the last observation
  double growth = 0;     ///< new zombies per second, smoothed over ten minutes
  /// New zombies per second, smoothed over 20 s while they become more, else over half a minute.
  double recent_growth = 0;
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
  std::string reason;  ///< one sentence with the figures behind the decision
  std::vector<Rung> ladder;
  bool for_read = false;  ///< the reason is a long read of the root's numa_stat
};

enum class End { done, timed_out, failed, cancelled };

/// "done", "timed_out", "failed", "cancelled".
std::string_view to_string(End end) noexcept;

/// The reasons for which evict leaves pages of zombies.
enum class Obstacle : std::uint8_t {
  mapped,          ///< processes map the file; a page that one alone maps is evicted
  deleted,         ///< the file has no name, and no process that has it open was found
  memory_file,     ///< the file is on tmpfs or shared memory, which has no copy on a disk
  metadata,        ///< the page is a block of a file system's metadata
  unreachable,     ///< no mount shows the file to this process, or it is on a network
  limit,           ///< Policy::evict_files or Policy::evict_time was reached
  busy,            ///< the page was in use, or not written back yet
  process_memory,  ///< memory of processes, without a file
  no_page,         ///< no page was found: locked pages or the kernel's own references
};
inline constexpr std::size_t obstacle_count = 9;

/// "mapped", "deleted", "memory_file", "metadata", "unreachable", "limit", "busy",
/// "process_memory", "no_page".
std::string_view to_string(Obstacle obstacle) noexcept;

/// The zombies that evict did not free for one reason. A zombie may have several.
struct Left {
  Obstacle why = Obstacle::busy;
  std::size_t zombies = 0;
  std::size_t files = 0;
  std::uint64_t pages = 0;
  std::string remedy;  ///< a sentence; names the file that holds the most
};

/// The files whose pages evict would take.
struct Evictable {
  struct File {
    std::string path;
    std::uint64_t pages = 0;
    std::size_t zombies = 0;
  };
  std::size_t files = 0;
  std::uint64_t pages = 0;
  std::vector<File> first;  ///< those that hold the most zombies
  std::vector<Left> left;   ///< the pages that evict would leave
};

/// The result of one rung.
struct Action {
  Rung rung = Rung::drop_page_cache;
  End end = End::done;
  /// Time the kernel took, without waiting for the count to settle.
  std::chrono::nanoseconds duration{};
  std::uint64_t zombies_before = 0;
  std::uint64_t zombies_after = 0;
  Status status = {};  ///< the error if the rung failed, timed out or was cancelled half-way
  /// Zombies that appeared between the two counts, estimated from the rates before and after the
  /// rung; inaccurate by the number that appears in a few seconds. 0 if no cgroups are being
  /// removed.
  std::uint64_t made = 0;
  /// Bytes by which page_cache() fell while the rung ran, the zombies' own pages included; 0 if it
  /// grew. Too small if others read files meanwhile, too large if they delete files. Nothing if it
  /// could not be measured.
  std::optional<std::uint64_t> given_up = {};
  std::vector<Left> left = {};  ///< by evict, by reason

  /// Returns the number of zombies freed: before + made - after, at most `before`.
  [[nodiscard]] std::uint64_t freed() const noexcept;
  /// Returns the number of zombies that evict did not reach within its limits.
  [[nodiscard]] std::uint64_t beyond_limit() const noexcept;
};

/// Returns the number of zombies that all these actions freed.
std::uint64_t freed(const std::vector<Action>& actions) noexcept;

/// Returns the bytes of page cache that these actions gave up; nothing if none was measured.
std::optional<std::uint64_t> given_up(const std::vector<Action>& actions) noexcept;

enum class Effect { none, effective, ineffective };

/// "none", "effective", "ineffective".
std::string_view to_string(Effect effect) noexcept;

/// Returns the share of the zombies that a rung freed, 0..1. Zombies that evict did not reach
/// within its limits (Obstacle::limit) do not count.
double share_freed(const Action& action) noexcept;

/// Judges all rungs of an action together: effective if they freed at least the share
/// Policy::min_effect of the zombies, without those that evict did not reach within its limits. The
/// caller must handle a cancelled action.
Effect effect_of(const std::vector<Action>& actions, const Policy& policy) noexcept;

/// Predicts the number of zombies that will appear within a time, at least: the growth goes on, or
/// the recent growth does so for a minute, whichever is more.
double expected(const History& history, std::chrono::seconds within) noexcept;

/// True if the cost of reading the root's numa_stat may be measured again.
bool probe_due(const History& history, const Policy& policy, std::chrono::seconds now);

/// Predicts the cost of a read with `memcgs` memory cgroups from the last probe; nothing without a
/// probe. On every kernel the cost is at most linear in the number of memory cgroups. The
/// prediction never exceeds twice the probe's cost: beyond that it would be a guess, because on a
/// kernel that does not walk the cgroups the cost does not grow at all.
std::optional<std::chrono::nanoseconds> predicted_cost(const History& history,
                                                       std::uint64_t memcgs);

/// Predicts the delay of others during a read that is predicted to cost `cost`, from the last
/// probe; nothing if that did not measure it. On a kernel that lets others run during a read, the
/// delay does not grow with its cost.
std::optional<std::chrono::nanoseconds> predicted_delay(const History& history,
                                                        std::chrono::nanoseconds cost);

/// Adds an observation to the history: growth, alarm and probe. Call it once for each observation,
/// before decide().
void note(History& history, const Observation& seen, const Policy& policy,
          std::chrono::seconds now);

/// The reason why freeing zombies is worth the loss of the machine's page cache.
enum class Worth {
  nothing,  ///< it is not worth it
  reads,    ///< reads of the root's numa_stat are not known to be cheap, or harmless to others
  ids,      ///< Policy::memcgs_high is reached
  memory,   ///< Policy::dead_memory is exceeded
  gain,     ///< Policy::min_gain is reached
};

/// The gain and the cost of freeing the zombies, in bytes.
struct Balance {
  Worth worth = Worth::nothing;
  /// Held by zombies: kernel objects, and on v1 the page cache that pins them.
  std::uint64_t held = 0;
  std::uint64_t given_up = 0;  ///< lost by dropping caches: the machine's page cache
};

/// Weighs the memory that zombies hold against the page cache that dropping caches loses. A read
/// counts as cheap if its cost, measured or predicted as an upper bound, is at most a tenth of
/// Policy::read_cost_limit, and as harmless if others are known to wait for at most that limit.
Balance weigh(const Observation& seen, const Policy& policy) noexcept;

/// True if the number of zombies or the cost of a read is a reason to act, which guards and weights
/// may speak against. `history` does not have this observation yet, which note() adds.
[[nodiscard]] bool has_reason(const Observation& seen, const History& history, const Policy& policy,
                              std::chrono::seconds now);

/// Decides whether to act. `now` is CLOCK_BOOTTIME.
Plan decide(const Observation& seen, const History& history, const Policy& policy,
            std::chrono::seconds now);

/// True if the ladder continues with `next` after the rungs `done`: as long as more zombies are
/// left than the smaller of zombies_low and half of those at the start. Zombies that appeared
/// meanwhile are not counted; but a rung that does not drop caches also goes on if there are, with
/// them, as many as half-way from zombies_low to zombies_high. If evict was effective, those that
/// it did not reach within its limits are not counted for a rung that drops caches: the next action
/// evicts them. Slab is dropped only if it can pin zombies and if dropping the page cache completed
/// and freed less than min_effect (or was skipped as useless).
bool climb_on(const Observation& before, const std::vector<Action>& done, Rung next,
              const Policy& policy);

/// Returns the number of actions that count against actions_a_day.
std::size_t actions_accounted(const History& history, std::chrono::seconds now);

/// Records the start of an action: `start` is that of the observation before it. Save the history
/// before the action, so that an action killed half-way counts.
void begin(History& history, std::chrono::seconds start);

/// Records the end of an action.
void end(History& history, const std::vector<Action>& actions, Effect effect, const Policy& policy,
         std::chrono::seconds now);

/// Explains to a person, in whole sentences, what holds the zombies and what would free them. Empty
/// if the observation does not tell.
std::string explain_pins(const Observation& seen);

}  // namespace cgctl::mitigation
