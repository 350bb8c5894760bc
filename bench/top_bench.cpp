// SPDX-FileCopyrightText: The cgctl authors
// SPDX-License-Identifier: MIT
#include <string>
#include <vector>

#include "measure.hpp"
#include "programs.hpp"

namespace cgctl::bench {
namespace {

constexpr std::uint64_t cgroups = 10'000;

/// Measures the CPU time of a program that shows all cgroups each second, ten times, and the most
/// memory that it had; its start is included.
void show(benchmark::State& state, std::vector<std::string> command) {
  with_arena(state, [&](Arena& arena) {
    auto path = arena.groups(cgroups);
    const std::string* const it = value_or_skip(state, path);
    if (it == nullptr) return;
    command.push_back(*it);
    for (auto _ : state) {
      const auto used = usage_of(command);
      if (!used) return skip(state, command[0] + " failed, or is not installed");
      constexpr double kibibyte = 1024;
      state.SetIterationTime(cpu_seconds(*used));
      state.counters["peak_bytes"] = kibibyte * static_cast<double>(used->ru_maxrss);
    }
  });
}

void add_screen(const std::string& name, const std::vector<std::string>& command) {
  benchmark::RegisterBenchmark(name.c_str(), [command](auto& state) { show(state, command); })
      ->UseManualTime()
      ->Iterations(1)
      ->Repetitions(3)
      ->DisplayAggregatesOnly();
}

const bool top_registered = [] {
  add_screen("top_10000/cgctl", {CGCTL_TOOL, "top", "-b", "-i", "1s", "-n", "10", "-o",
                                 "tasks,cpu,memory,read,write"});
  add_screen("top_10000/systemd_cgtop",
             {"systemd-cgtop", "-b", "-d", "1s", "-n", "10", "--depth=100"});
  return true;
}();

}  // namespace
}  // namespace cgctl::bench
