// SPDX-FileCopyrightText: The cgctl authors
// SPDX-License-Identifier: MIT
#include <fcntl.h>
#include <time.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <chrono>
#include <thread>

#include "cgctl/filesystem.hpp"
#include "cgctl/group.hpp"
#include "cgctl/mitigation.hpp"
#include "cgctl/parse.hpp"
#include "cgctl/pinned_files.hpp"
#include "cgctl/pressure.hpp"
#include "detail/possible_cpus.hpp"
#include "detail/wake_up_delay.hpp"
#include "mitigation/disk_load.hpp"
#include "mitigation/node_reclaim.hpp"
#include "mitigation/reaper.hpp"
#include "mitigation/reparenting.hpp"
#include "mitigation/squeeze.hpp"

namespace cgctl::mitigation {
namespace {

using std::chrono::seconds;

/// Reads a file; empty if the kernel has no such file.
Result<std::string> optional_file(const Host& host, const char* name) {
  auto text = fs::read_in_root(host.roots().proc, name);
  if (!text && text.error().os_errno == ENOENT) return std::string();
  return text;
}

/// Reads once, and measures how long other work on the CPU waits, if the read takes long enough to
/// tell.
Result<numa::Cost> watched_read(const numa::Reader& reader, const Policy& policy,
                                Observation& seen) {
  constexpr auto long_enough = std::chrono::milliseconds(2);
  Result<numa::Cost> cost = fail(Error{});
  const auto read = [&reader, &cost] {
    numa::NumaStat out;
    cost = numa::measured_read(reader, out);
  };
  const auto sentinel = detail::Sentinel::on_this_cpu();
  const auto delay = sentinel ? sentinel->watch(read) : fail(sentinel.error());
  if (!delay) {
    // The cost can be measured without a neighbour.
    note_missing(seen.unread, delay.error());
    read();
  } else if (cost && cost->wall >= long_enough) {
    seen.read_delay = detail::delay_of_others(delay->worst, delay->scheduling, cost->wall,
                                              policy.read_cost_limit);
  }
  return cost;
}

/// Returns the bytes in a line of /proc/meminfo; 0 without the file or the line.
Result<std::uint64_t> meminfo(const Host& host, std::string_view key) {
  const auto text = optional_file(host, "meminfo");
  if (!text) return fail(text.error());
  std::string_view rest = *text;
  while (!rest.empty()) {
    std::string_view row = parse::line(rest);
    if (parse::field(row) == key) {
      return parse::whole_number(parse::field(row)).value_or(0) << 10;
    }
  }
  return 0;
}

/// The ways to measure a read of the root's numa_stat, by the time that it is expected to take.
enum class Measurement {
  repeated,  ///< cheap: the least of several reads
  watched,   ///< one read that shows whether others have to wait
  none,      ///< no read: it would take more than ten times the limit, and others might wait for it
};

/// A read is watched from a fourth of the limit on: predicted_cost() doubles its cost at most, and
/// decide() doubles that at most, so that the delay of others is known before either is too high.
Measurement way_to_measure(std::chrono::nanoseconds expected, const Policy& policy) noexcept {
  constexpr int cheap = 4;
  constexpr int bearable = 10;
  if (expected * cheap <= policy.read_cost_limit) return Measurement::repeated;
  return expected <= bearable * policy.read_cost_limit ? Measurement::watched : Measurement::none;
}

/// Measures a read that is bearable. Repeats a cheap one, and returns the least cost. If it turns
/// out not to be cheap, makes one more read, and watches whether others have to wait.
Result<numa::Cost> bearable_reads(const numa::Reader& reader, const Policy& policy,
                                  std::chrono::nanoseconds expected, Observation& seen) {
  const auto way = [&policy](const Result<numa::Cost>& cost) {
    return cost ? way_to_measure(cost->wall, policy) : Measurement::none;
  };
  Result<numa::Cost> least = fail(Error{});
  if (way_to_measure(expected, policy) == Measurement::repeated) {
    least = numa::least_cost(reader, policy.read_cost_limit);
    if (way(least) != Measurement::watched) return least;
  }
  auto watched = watched_read(reader, policy, seen);
  if (way(watched) == Measurement::repeated) {
    seen.read_delay.reset();
    return numa::least_cost(reader, policy.read_cost_limit);
  }
  if (!watched || !least || watched->wall < least->wall) return watched;
  if (seen.read_delay) seen.read_delay = std::min(*seen.read_delay, least->wall);
  return least;
}

/// Measures the cost of reading the root's numa_stat. If it is predicted to be above ten times the
/// policy's limit, uses that prediction, an upper bound, instead. Does not measure captured files,
/// whose read time has no meaning.
void observe_read_cost(const Host& host, numa::CostGuard& guard, const Policy& policy,
                       const History& history, Observation& seen) {
  if (!probe_due(history, policy, uptime())) {
    seen.read_cost = predicted_cost(history, seen.zombies.kernel);
    if (seen.read_cost) seen.read_delay = predicted_delay(history, *seen.read_cost);
    return;
  }
  const auto root = host.open("/");
  if (!root) return note_missing(seen.unread, root.error());
  const auto reader = numa::Reader::open(*root);
  // If the file is missing (a kernel without NUMA, v2 before Linux 5.10), no read can be expensive.
  if (!reader) return note_missing(seen.unread, reader.error());
  if (!host.live()) {
    seen.read_cost = guard.predict(seen.zombies.kernel);
    return;
  }
  const numa::CostGuard::Time now = std::chrono::steady_clock::now().time_since_epoch();
  const auto calibrated = numa::calibrate(host, guard, now);
  if (!calibrated) note_missing(seen.unread, calibrated.error());
  if (!calibrated && calibrated.error().kind == errc::unsupported && seen.zombies.kernel > 1)
    return;
  seen.read_cost = guard.predict(seen.zombies.kernel);
  if (way_to_measure(*seen.read_cost, policy) == Measurement::none) {
    seen.read_delay = predicted_delay(history, *seen.read_cost);
    return;
  }
  const auto cost = bearable_reads(*reader, policy, *seen.read_cost, seen);
  if (!cost) return note_missing(seen.unread, cost.error());
  guard.record(*cost, seen.zombies.kernel, now);
  seen.read_cost = cost->wall;
  seen.read_cost_measured = true;
  seen.memcgs_at_read = seen.zombies.kernel;
}

Status observe_load(const Host& host, Observation& seen) {
  const auto io = pressure::read(host, pressure::Resource::io);
  if (io) seen.io_pressure = io->some.avg10;
  if (!io) note_missing(seen.unread, io.error());
  const auto memory = pressure::read(host, pressure::Resource::memory);
  if (memory && memory->full) seen.memory_pressure = memory->full->avg10;
  if (!memory) note_missing(seen.unread, memory.error());
  const auto text = optional_file(host, "vmstat");
  if (!text) return fail(text.error());
  const std::uint64_t dirty = parse::value_of(*text, "nr_dirty").value_or(0);
  const std::uint64_t writeback = parse::value_of(*text, "nr_writeback").value_or(0);
  seen.dirty = (dirty + writeback) * host.page_size();
  return {};
}

std::optional<LocalTime> local_time() {
  const std::time_t now = std::time(nullptr);
  std::tm parts{};
  if (::localtime_r(&now, &parts) == nullptr) return std::nullopt;
  return LocalTime{static_cast<unsigned>((parts.tm_wday + 6) % 7),
                   static_cast<unsigned>(parts.tm_hour * 60 + parts.tm_min)};
}

/// Finds out whether a census can name the pages of zombies, if the attribution tried one.
/// `why_not` has the errors of sources that were not used, the census's first.
void observe_census(const Host& host, const std::vector<Error>& why_not, Observation& seen) {
  if (!host.live()) return;
  if (seen.source == zombies::Source::census) {
    seen.census = census::FileFinder::supported(host);
    seen.can_evict = seen.census.has_value();
  } else if (!why_not.empty()) {
    seen.census = fail(why_not.front());
  }
}

/// True if an ancestor of zombies has memory.reclaim. The root is not asked, as it may lack files
/// that its children have.
bool can_reclaim(const Host& host, Observation& seen) {
  if (host.find("memory")->version != Version::v2) return false;
  const auto& all = seen.ancestors;
  return std::any_of(all.begin(), all.end(), [&host, &seen](const auto& ancestor) {
    const auto group = host.open(ancestor.path);
    const auto file = group ? group->open_file("memory.reclaim", O_WRONLY) : fail(group.error());
    if (!file && file.error().kind != errc::vanished) note_missing(seen.unread, file.error());
    return file.has_value();
  });
}

}  // namespace

seconds uptime() noexcept {
  timespec now{};
  ::clock_gettime(CLOCK_BOOTTIME, &now);
  return seconds(now.tv_sec);
}

Result<std::uint64_t> page_cache(const Host& host) {
  const auto vmstat = optional_file(host, "vmstat");
  if (!vmstat) return fail(vmstat.error());
  const std::uint64_t file = parse::value_of(*vmstat, "nr_file_pages").value_or(0);
  const std::uint64_t shmem = parse::value_of(*vmstat, "nr_shmem").value_or(0);
  return (file > shmem ? file - shmem : 0) * host.page_size();
}

Result<std::uint64_t> kernel_memory(const Host& host, std::uint64_t zombies) {
  constexpr std::uint64_t each = std::uint64_t{12} << 10;
  constexpr std::uint64_t each_cpu = std::uint64_t{2} << 10;
  const auto cpus = detail::possible_cpus(host);
  if (!cpus) return fail(cpus.error());
  return zombies * (each + each_cpu * cpus->value_or(1));
}

Result<std::uint64_t> total_memory(const Host& host) { return meminfo(host, "MemTotal:"); }

Result<std::uint64_t> free_swap(const Host& host) { return meminfo(host, "SwapFree:"); }

Result<std::optional<std::uint64_t>> refaults(const Host& host) {
  const auto vmstat = optional_file(host, "vmstat");
  if (!vmstat) return fail(vmstat.error());
  const auto of_files = parse::value_of(*vmstat, "workingset_refault_file");
  return of_files ? of_files : parse::value_of(*vmstat, "workingset_refault");
}

void note_missing(std::vector<Error>& unread, const Error& error) {
  if (error.os_errno != ENOENT && error.kind != errc::unsupported) unread.push_back(error);
}

Result<Observation> observe(const Host& host, numa::CostGuard& guard, const Policy& policy,
                            const History& history, Intent intent, zombies::Counter* counter) {
  constexpr auto long_ago = std::chrono::seconds(1);
  const auto start = std::chrono::steady_clock::now();
  const auto passed = [start] { return std::chrono::steady_clock::now() - start; };
  const auto zombies_now = [&] {
    return counter != nullptr ? counter->count() : zombies::count(host);
  };
  Observation seen;
  auto count = zombies_now();
  if (!count) return fail(count.error());
  seen.zombies = *count;
  seen.page_size = host.page_size();
  const auto cache = page_cache(host);
  if (!cache) return fail(cache.error());
  seen.page_cache = *cache;
  const auto held = kernel_memory(host, count->low);
  if (!held) return fail(held.error());
  seen.kernel_memory = *held;
  const auto memory = total_memory(host);
  if (!memory) return fail(memory.error());
  seen.memory = *memory;
  seen.local_time = local_time();
  if (auto status = observe_load(host, seen); !status) return fail(status.error());
  const detail::DiskLoad disks(host);
  observe_read_cost(host, guard, policy, history, seen);
  if (count->low != 0) {
    constexpr unsigned quarter = 25;
    zombies::AttributionLimits limits;
    limits.offsets_file = policy.offsets_file.c_str();
    limits.page_flags_percent = quarter;  // a timer or a daemon can wait
    // A daemon that has nothing to do needs no exact figures, which cost it time and memory.
    if (!has_reason(seen, history, policy, uptime())) limits.best = zombies::Source::memory_stat;
    auto where = zombies::attribute(host, limits);
    if (!where) return fail(where.error());
    seen.residual = where->residual;
    seen.source = where->source;
    seen.slab = where->slab;
    if (where->failure) seen.unread.push_back(std::move(*where->failure));
    seen.ancestors = std::move(where->ancestors);
    observe_census(host, where->why_not, seen);
  }
  if (intent == Intent::act && count->low >= policy.zombies_high) {
    seen.pages_reparented = detail::reparents_pages(host);
  }
  seen.can_reap = detail::reaper_of(host) != detail::Reaper::none;
  auto squeezable = detail::squeezable(host, seen.ancestors, seen.unread);
  seen.squeezable = std::move(squeezable.tops);
  seen.without_hierarchy = std::move(squeezable.without_hierarchy);
  seen.can_reclaim_nodes = !detail::reclaimable_nodes(host).empty();
  seen.can_reclaim = can_reclaim(host, seen);
  const auto busiest = disks.busiest();
  if (!busiest) return fail(busiest.error());
  seen.disk_busy = *busiest;
  if (passed() >= long_ago) {
    count = zombies_now();
    if (!count) return fail(count.error());
    seen.zombies = *count;
  }
  seen.took = passed();
  return seen;
}

}  // namespace cgctl::mitigation
