// SPDX-FileCopyrightText: The cgctl authors
// SPDX-License-Identifier: MIT
#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>

#include <algorithm>
#include <chrono>
#include <string>
#include <vector>

#include "cgctl/census.hpp"
#include "measure.hpp"

namespace cgctl::bench {
namespace {

constexpr std::uint64_t live = 10'000;
constexpr std::uint64_t removed = 5'000;
constexpr census::Wanted without_names{false, true, true, true};
constexpr census::Wanted with_names{true, true, true, true};

/// Calls `body(arena, tree)` with the live and the removed cgroups, or skips the benchmark.
template <class Body>
void with_dead(benchmark::State& state, Body body) {
  with_arena(state, [&](Arena& arena) {
    auto tree = arena.tree(Shape::flat, live);
    const Tree* const* const it = value_or_skip(state, tree);
    if (it == nullptr) return;
    if (const auto made = arena.zombies(removed); !made) {
      return skip(state, made.error().message());
    }
    body(arena, **it);
  });
}

template <class Body>
void with_census(benchmark::State& state, Body body) {
  with_dead(state, [&](Arena& arena, const Tree&) {
    auto census = census::Census::open(arena.host());
    if (census::Census* const it = value_or_skip(state, census)) body(*it);
  });
}

/// Takes the figures that pread_live() reads, of the removed cgroups also.
void take_census(benchmark::State& state, census::Wanted wanted) {
  with_census(state, [&](census::Census& census) {
    census::Snapshot snapshot;
    std::vector<double> longest;
    std::size_t runs = 0;
    measure(state, [&] {
      if (!census.take(snapshot, wanted)) return false;
      longest.push_back(std::chrono::duration<double>(snapshot.longest_run).count());
      runs = snapshot.runs;
      return snapshot.cgroups.size() >= live + removed;
    });
    if (longest.empty()) return;
    // A census has some 1,000 runs: in half of the censuses none was longer than this.
    const auto middle = longest.begin() + static_cast<std::ptrdiff_t>(longest.size() / 2);
    std::nth_element(longest.begin(), middle, longest.end());
    state.counters["longest_run"] = *middle;
    state.counters["runs"] = static_cast<double>(runs);
  });
}

/// Reads the files of as many cgroups as it can keep open; the time is what all live cgroups would
/// take.
void pread_live(benchmark::State& state) {
  with_dead(state, [&](Arena& arena, const Tree& tree) {
    using Time = std::chrono::duration<double>;
    const std::size_t most = std::min<std::size_t>(live - 1, allow_descriptors(3 * live) / 3);
    const char* const usage =
        arena.memory().version == Version::v1 ? "memory.usage_in_bytes" : "memory.current";
    auto names = child_directories(tree.directory.get(), tree.path);
    if (value_or_skip(state, names) == nullptr) return;
    names->resize(most);
    std::vector<UniqueFd> files;
    for (const std::string& name : *names) {
      for (const char* file : {usage, "memory.stat", "memory.numa_stat"}) {
        const std::string path = name + "/" + file;
        files.emplace_back(::openat(tree.directory.get(), path.c_str(), O_RDONLY | O_CLOEXEC));
      }
    }
    std::vector<char> text(16'384);
    for (auto _ : state) {
      const auto start = std::chrono::steady_clock::now();
      for (const UniqueFd& file : files) {
        if (::pread(file.get(), text.data(), text.size(), 0) <= 0) {
          return skip(state, "a file could not be read");
        }
        benchmark::DoNotOptimize(text.data());
        benchmark::ClobberMemory();
      }
      const Time time = std::chrono::steady_clock::now() - start;
      state.SetIterationTime(time.count() * static_cast<double>(live) / static_cast<double>(most));
    }
    state.counters["descriptors"] = static_cast<double>(files.size());
  });
}

void count_census(benchmark::State& state) {
  with_census(state, [&](census::Census& census) {
    measure(state, [&] {
      const auto count = census.count();
      return count && count->live >= live && count->dead >= removed;
    });
  });
}

void by_directories(benchmark::State& state) {
  with_dead(state, [&](Arena& arena, const Tree&) {
    auto counter = zombies::Counter::open(arena.host(), 1'000, zombies::Counter::Use::directories);
    if (value_or_skip(state, counter) == nullptr) return;
    measure(state, [&] {
      const auto count = counter->count();
      return count && count->zombies() >= removed;
    });
  });
}

void stat_live(benchmark::State& state) {
  with_dead(state, [&](Arena&, const Tree& tree) {
    auto names = child_directories(tree.directory.get(), tree.path);
    if (value_or_skip(state, names) == nullptr) return;
    measure(state, [&] {
      std::uint64_t count = 1;
      struct ::stat found {};
      for (const std::string& name : *names) {
        const int done = ::fstatat(tree.directory.get(), name.c_str(), &found, AT_SYMLINK_NOFOLLOW);
        if (done == 0) ++count;
      }
      return count == live;
    });
  });
}

const bool census_registered = [] {
  add("census_walk_10000/cgctl", [](auto& state) { take_census(state, without_names); });
  add("census_walk_10000/cgctl_with_names", [](auto& state) { take_census(state, with_names); });
  add("census_walk_10000/raw_preads", pread_live, Clock::inside);
  add("census_count_10000/cgctl", count_census);
  add("census_count_10000/cgctl_by_directories", by_directories);
  add("census_count_10000/one_stat_each", stat_live);
  return true;
}();

}  // namespace
}  // namespace cgctl::bench
