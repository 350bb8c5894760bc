// SPDX-FileCopyrightText: The cgctl authors
// SPDX-License-Identifier: MIT
#include "check/measure.hpp"

#include <fmt/format.h>
#include <sys/utsname.h>

#include <algorithm>
#include <map>
#include <optional>
#include <thread>
#include <utility>

#include "cgctl/group.hpp"
#include "cgctl/holds.hpp"
#include "cgctl/numa_stat.hpp"
#include "cgctl/sampler.hpp"
#include "cli/units.hpp"
#include "doctor/doctor_report.hpp"
#include "doctor/subtrees.hpp"

namespace cgctl::tool::check_command {
namespace {

using std::chrono::nanoseconds;
using Clock = std::chrono::steady_clock;

double seconds(nanoseconds time) { return std::chrono::duration<double>(time).count(); }

bool reads_may_walk() {
  ::utsname machine{};
  return ::uname(&machine) != 0 || doctor_command::walks_by_release(machine.release);
}

/// Returns the bound of a read of the root, from cheap reads of other cgroups.
Result<nanoseconds> bound_of_a_read(const Host& host, nanoseconds limit) {
  const auto count = zombies::count(host);
  if (!count) return fail(count.error());
  numa::CostGuard::Config config;
  config.budget = limit;
  numa::CostGuard guard(config);
  const auto leaf = numa::calibrate(host, guard, Clock::now().time_since_epoch());
  if (leaf && guard.predict(count->kernel) > limit) {
    (void)doctor_command::compare_subtrees(host, guard, tl::unexpected<std::string>(""),
                                           leaf->wall);
  }
  return guard.predict(count->kernel);
}

/// The share of periods in which each cgroup was throttled.
class Throttling {
 public:
  static Result<Throttling> open(const Host& host) {
    auto sampler = Sampler::open(host, "/");
    if (!sampler) return fail(sampler.error());
    Throttling throttling(std::move(*sampler));
    throttling.sampler_.sample([&](const Sample& sample) {
      if (const auto periods = periods_of(sample)) {
        throttling.first_.emplace(sample.path, *periods);
      }
    });
    return throttling;
  }

  /// Returns the largest share since the first sample. Leaves out cgroups that ran in fewer than
  /// ten periods, where a single one would count for too much.
  Figure worst() {
    constexpr std::uint64_t fewest = 10;
    Figure worst{0, "nothing throttled"};
    sampler_.sample([&](const Sample& sample) {
      const auto now = periods_of(sample);
      const auto first = first_.find(sample.path);
      if (!now || first == first_.end()) return;
      if (now->all < first->second.all + fewest || now->throttled < first->second.throttled) return;
      constexpr double percent = 100;
      const double share = percent * static_cast<double>(now->throttled - first->second.throttled) /
                           static_cast<double>(now->all - first->second.all);
      if (share <= worst.value) return;
      worst = {share, fmt::format("{:.0f}% throttled: {}", share, sample.path)};
    });
    return worst;
  }

 private:
  struct Periods {
    std::uint64_t all = 0;
    std::uint64_t throttled = 0;
  };

  explicit Throttling(Sampler sampler) : sampler_(std::move(sampler)) {}

  static std::optional<Periods> periods_of(const Sample& sample) {
    const cpu::Stat& stat = sample.cpu;
    if (!stat.nr_periods || !stat.nr_throttled) return std::nullopt;
    return Periods{*stat.nr_periods, *stat.nr_throttled};
  }

  Sampler sampler_;
  std::map<std::string, Periods, std::less<>> first_;
};

Figure longest_of(const holds::Watch& watch) {
  Figure longest{0, "nothing held a CPU"};
  holds::Time time{};
  for (const holds::Total& total : watch.totals()) {
    if (total.task.cause == holds::Cause::other || total.longest <= time) continue;
    time = total.longest;
    longest = {seconds(time), fmt::format("{} ({}) held CPU {} for {}", total.task.comm.view(),
                                          total.task.pid, total.longest_cpu, human_time(time))};
  }
  return longest;
}

Result<Figure> longest_hold(Result<holds::Watch>& watch) {
  if (!watch) return fail(watch.error());
  watch->stop();
  const holds::Missing& missing = watch->missing();
  if (missing.sampling) return fail(*missing.sampling);
  if (missing.symbols) return fail(*missing.symbols);
  return longest_of(*watch);
}

}  // namespace

Result<Figure> cost_of_a_read(const Host& host, nanoseconds limit) {
  if (!host.live()) {
    return fail(Error::make(errc::unsupported, "read", "memory.numa_stat",
                            "the time of a read tells nothing about another kernel"));
  }
  const auto root = host.open("/");
  if (!root) return fail(root.error());
  const auto reader = numa::Reader::open(*root);
  if (!reader) return fail(reader.error());
  if (reads_may_walk()) {
    const auto bound = bound_of_a_read(host, limit);
    if (!bound) return fail(bound.error());
    if (*bound > limit) {
      return Figure{seconds(*bound), fmt::format("a read may take {}", human_time(*bound))};
    }
  }
  numa::NumaStat out;
  const auto cost = numa::measured_read(*reader, out);
  if (!cost) return fail(cost.error());
  return Figure{seconds(cost->wall), fmt::format("a read takes {}", human_time(cost->wall))};
}

Window watch(const Host& host, const Wanted& wanted) {
  Window window;
  std::optional<Result<holds::Watch>> holds;
  std::optional<Result<Throttling>> throttling;
  if (wanted.hold) holds.emplace(holds::Watch::start(host));
  if (wanted.throttled) throttling.emplace(Throttling::open(host));
  constexpr nanoseconds interval = std::chrono::milliseconds(100);
  const auto end = Clock::now() + wanted.time;
  while (Clock::now() < end) {
    std::this_thread::sleep_for(std::min<nanoseconds>(interval, end - Clock::now()));
    if (!holds || !*holds) continue;
    holds::Hold hold;
    holds::Wait wait;
    (*holds)->poll();
    while ((*holds)->next(hold) || (*holds)->next(wait)) {
    }
  }
  if (holds) window.hold = longest_hold(*holds);
  if (throttling && *throttling) window.throttled = (*throttling)->worst();
  if (throttling && !*throttling) window.throttled = fail(throttling->error());
  return window;
}

}  // namespace cgctl::tool::check_command
