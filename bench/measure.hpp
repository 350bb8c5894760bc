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

/// Raises the descriptor limit so that `wanted` descriptors are free besides 1,000 others. Returns
/// how many of `wanted` it got.
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

/// Measures `once`, which returns false if the call under test failed.
template <class Once>
void measure(benchmark::State& state, Once once) {
  for (auto _ : state) {
    if (!once()) return skip(state, "a call failed, or what it gave was wrong");
  }
}

/// Calls `body(arena)`, or skips the benchmark.
template <class Body>
void with_arena(benchmark::State& state, Body body) {
  Arena& arena = Arena::instance();
  if (!arena.problem().empty()) return skip(state, arena.problem());
  body(arena);
}

/// Returns the value; without one, skips the benchmark and returns null.
template <class T>
T* value_or_skip(benchmark::State& state, Result<T>& result) {
  if (result) return &*result;
  skip(state, result.error().message());
  return nullptr;
}

/// Calls `body(group)` with a cgroup that holds memory, or skips the benchmark.
template <class Body>
void with_group(benchmark::State& state, Body body) {
  with_arena(state, [&](Arena& arena) {
    auto group = arena.charged_group();
    if (const Group* const it = value_or_skip(state, group)) body(*it);
  });
}

enum class Clock {
  real,    ///< wall time, since a contender may be another process
  inside,  ///< the contender measures its own time
};

/// Adds the benchmark `name`, which is SUBJECT/CONTENDER; cgctl's contender is "cgctl".
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
