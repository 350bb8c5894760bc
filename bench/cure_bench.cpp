// SPDX-FileCopyrightText: The cgctl authors
// SPDX-License-Identifier: MIT

// Measures the page cache that live cgroups lose when 2,000 zombies are freed beside them: 20
// cgroups with 2 GiB. Each contender gets zombies of its own, and all cache is read back before it
// begins. The host itself may take idle page cache meanwhile (DAMON): the contender `nothing` shows
// that, and the least of three runs counts.

#include <unistd.h>

#include <algorithm>
#include <chrono>
#include <filesystem>
#include <functional>
#include <string>
#include <system_error>
#include <thread>
#include <utility>
#include <vector>

#include "cgctl/filesystem.hpp"
#include "living_cache.hpp"
#include "measure.hpp"
#include "zombie_maker.hpp"

namespace cgctl::bench {
namespace {

using mitigation::Rung;
using std::chrono::nanoseconds;

constexpr std::uint64_t zombies_made = 2000;
constexpr std::uint64_t neighbours = 20;
constexpr std::uint64_t cache_of_each = std::uint64_t{102} << 20;

/// The folder of the files; removed at the end, and at the beginning if a run was killed.
struct Folder {
  Folder() {
    std::error_code ignored;
    std::filesystem::remove_all(path, ignored);
    std::filesystem::create_directory(path, ignored);
  }
  Folder(const Folder&) = delete;
  Folder& operator=(const Folder&) = delete;
  ~Folder() {
    std::error_code ignored;
    std::filesystem::remove_all(path, ignored);
  }
  const std::string path = fs::join("/var/tmp", arena_name);
};

Result<lab::ZombieMaker> make_scene(const Host& host) {
  // In the arena, so that its guardian removes the cgroups in any case. Only one process at a time
  // has an arena.
  auto maker = lab::ZombieMaker::open(host, lab::Pin::page_cache, std::string(arena_name) + "/cure",
                                      "/var/tmp");
  if (!maker) return maker;
  if (auto status = maker->make_neighbours(neighbours, cache_of_each); !status) {
    return fail(status.error());
  }
  return maker;
}

/// Returns the zombies' maker and its live cgroups, for all contenders of this process.
Result<lab::ZombieMaker>& scene(const Host& host) {
  static const Folder folder;
  static Result<lab::ZombieMaker> maker = make_scene(host);
  return maker;
}

/// Frees zombies by one rung of cgctl.
Result<nanoseconds> by_rung(const Host& host, Rung rung) {
  numa::CostGuard guard;
  mitigation::Policy policy;
  policy.only = rung;
  policy.guards = mitigation::Guards::override_all;
  policy.zombies_high = 1;
  const auto before = mitigation::observe(host, guard, policy, {}, mitigation::Intent::act);
  if (!before) return fail(before.error());
  const mitigation::Plan plan{mitigation::Decision::act, {}, {rung}};
  const auto outcome = mitigation::carry_out(host, guard, plan, policy, *before);
  if (!outcome) return fail(outcome.error());
  const mitigation::Action& action = outcome->actions.front();
  if (!action.status) return fail(action.status.error());
  return action.duration;
}

/// Empties the cgroup above the zombies, and with it all live cgroups below.
Result<nanoseconds> force_empty(const Host& host, const std::string& path) {
  const auto start = std::chrono::steady_clock::now();
  if (auto status = lab::force_empty(host, path); !status) return fail(status.error());
  return std::chrono::steady_clock::now() - start;
}

/// Frees zombies.
using Cure = std::function<Result<nanoseconds>(const Host& host, const lab::ZombieMaker& maker)>;

/// Reports the share of their page cache that the living have lost.
void note_share(benchmark::State& state, const lab::Cache& before, const lab::Cache& after) {
  state.counters["lost_share"] = static_cast<double>(after.lost_by_live_since(before)) /
                                 static_cast<double>(before.neighbours + before.outside);
}

/// Makes the zombies, frees them, and reports both sides of the account.
Status cure_once(benchmark::State& state, const Host& host, lab::ZombieMaker& maker,
                 const Cure& cure) {
  if (auto status = maker.refill_neighbours(); !status) return status;
  const auto others = lab::settled_zombies(host);
  if (!others) return fail(others.error());
  if (auto status = maker.make(zombies_made); !status) return status;
  ::sync();
  const auto made = lab::settled_zombies(host);
  if (!made) return fail(made.error());
  const auto before = lab::living_cache(host, maker);
  if (!before) return fail(before.error());
  const auto took = cure(host, maker);
  if (!took) return fail(took.error());
  const auto after = lab::living_cache(host, maker);
  if (!after) return fail(after.error());
  const auto left = lab::settled_zombies(host);
  if (!left) return fail(left.error());
  const auto freed = static_cast<double>(*made - std::min(*made, *left));
  note_share(state, *before, *after);
  state.SetIterationTime(std::chrono::duration<double>(*took).count());
  state.counters["zombies_freed"] =
      freed / static_cast<double>(*made - std::min(*others, *made - 1));
  const auto lost = static_cast<double>(after->lost_by_live_since(*before));
  if (freed > 0) state.counters["lost_a_zombie"] = lost / freed;
  return {};
}

/// Reports what the living lose in the time of a squeeze if nothing is done.
Status lose_nothing(benchmark::State& state, const Host& host, lab::ZombieMaker& maker) {
  constexpr std::chrono::seconds as_long(2);
  if (auto status = maker.refill_neighbours(); !status) return status;
  const auto before = lab::living_cache(host, maker);
  if (!before) return fail(before.error());
  std::this_thread::sleep_for(as_long);
  const auto after = lab::living_cache(host, maker);
  if (!after) return fail(after.error());
  state.SetIterationTime(std::chrono::duration<double>(as_long).count());
  note_share(state, *before, *after);
  return {};
}

using Work = std::function<Status(benchmark::State&, const Host&, lab::ZombieMaker&)>;

void measure_once(benchmark::State& state, const Work& work) {
  with_arena(state, [&](const Arena& arena) {
    auto& found = scene(arena.host());
    lab::ZombieMaker* const maker = value_or_skip(state, found);
    for (auto _ : state) {
      if (maker == nullptr) return;
      if (auto status = work(state, arena.host(), *maker); !status) {
        return skip(state, status.error().message());
      }
    }
  });
}

double least(const std::vector<double>& values) {
  return *std::min_element(values.begin(), values.end());
}

Work freeing(const Cure& cure) {
  return [cure](benchmark::State& state, const Host& host, lab::ZombieMaker& maker) {
    return cure_once(state, host, maker, cure);
  };
}

Work freeing_by(Rung rung) {
  return freeing([rung](const Host& host, const lab::ZombieMaker&) { return by_rung(host, rung); });
}

benchmark::internal::Benchmark* add_once(const char* name, const Work& work) {
  return benchmark::RegisterBenchmark(
             name, [work](benchmark::State& state) { measure_once(state, work); })
      ->UseManualTime()
      ->Iterations(1);
}

const bool registered = [] {
  add_once("cure/drop_caches", freeing_by(Rung::drop_page_cache));
  add_once("cure/force_empty", freeing([](const Host& host, const lab::ZombieMaker& maker) {
             return force_empty(host, maker.group());
           }));
  for (const auto& [name, work] :
       {std::pair<const char*, Work>{"cure/evict", freeing_by(Rung::evict)},
        {"cure/squeeze", freeing_by(Rung::squeeze)},
        {"cure/node_reclaim", freeing_by(Rung::node_reclaim)},
        {"cure/nothing", lose_nothing}}) {
    constexpr int times = 3;
    add_once(name, work)->Repetitions(times)->ComputeStatistics("least", least);
  }
  return true;
}();

}  // namespace
}  // namespace cgctl::bench
