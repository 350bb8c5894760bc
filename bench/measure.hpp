// SPDX-FileCopyrightText: The cgctl authors
// SPDX-License-Identifier: MIT
#pragma once

#include <benchmark/benchmark.h>
#include <sys/resource.h>

#include <algorithm>
#include <cstddef>
#include <cstdint>
#include <string>

#include "arena.hpp"

namespace cgctl::bench {

inline void skip(benchmark::State& state, const std::string& reason) {
  state.SkipWithError(reason.c_str());
}

/// Lets the process keep so many descriptors besides some others; how many it can.
inline std::size_t allow_descriptors(std::uint64_t wanted) {
  constexpr rlim_t others = 1000;
  const rlim_t needed = wanted + others;
  rlimit limit{};
  ::getrlimit(RLIMIT_NOFILE, &limit);
  if (limit.rlim_cur < needed) {
    const rlimit raised{needed, std::max(limit.rlim_max, needed)};
    const rlimit highest{limit.rlim_max, limit.rlim_max};
    if (::setrlimit(RLIMIT_NOFILE, &raised) != 0) ::setrlimit(RLIMIT_NOFILE, &highest);
    ::getrlimit(RLIMIT_NOFILE, &limit);
  }
  return std::min(limit.rlim_cur, needed) - others;
}

/// Measures `once`, which returns false when what it measures failed.
template <class Once>
void measure(benchmark::State& state, Once once) {
  for (auto _ : state) {
    if (!once()) return skip(state, "a call failed, or what it gave was wrong");
  }
}

/// Calls `body(arena)`, or skips.
template <class Body>
void with_arena(benchmark::State& state, Body body) {
  Arena& arena = Arena::instance();
  if (!arena.problem().empty()) return skip(state, arena.problem());
  body(arena);
}

/// The value, or nothing and the benchmark is skipped.
template <class T>
T* value_or_skip(benchmark::State& state, Result<T>& result) {
  if (result) return &*result;
  skip(state, result.error().message());
  return nullptr;
}

/// Calls `body(group)` with a cgroup that holds memory, or skips.
template <class Body>
void with_group(benchmark::State& state, Body body) {
  with_arena(state, [&](Arena& arena) {
    auto group = arena.charged_group();
    if (const Group* const it = value_or_skip(state, group)) body(*it);
  });
}

enum class Clock {
  real,    ///< since a contender may be another process
  inside,  ///< the contender takes its own time
};

/// SUBJECT/CONTENDER; ours is cgctl.
template <class Function>
benchmark::internal::Benchmark* add(const std::string& name, Function function,
                                    Clock clock = Clock::real) {
  benchmark::internal::Benchmark* const it = benchmark::RegisterBenchmark(name.c_str(), function);
  if (clock == Clock::real) {
    it->UseRealTime();
  } else {
    it->UseManualTime();
  }
  return it->MinTime(0.05)->Repetitions(15)->DisplayAggregatesOnly();
}

}  // namespace cgctl::bench
