// SPDX-FileCopyrightText: The cgctl authors
// SPDX-License-Identifier: MIT
#include <string>
#include <vector>

#include "measure.hpp"
#include "programs.hpp"

namespace cgctl::bench {
namespace {

/// Measures the CPU time of a program that samples all CPUs, its start included.
void sample(benchmark::State& state, const std::vector<std::string>& command) {
  for (auto _ : state) {
    const auto used = usage_of(command);
    if (!used) return skip(state, command[0] + " failed, or is not installed");
    state.SetIterationTime(cpu_seconds(*used));
  }
}

void add_once(const std::string& name, const std::vector<std::string>& command) {
  benchmark::RegisterBenchmark(name.c_str(), [command](auto& state) { sample(state, command); })
      ->UseManualTime()
      ->Iterations(1)
      ->Repetitions(5)
      ->DisplayAggregatesOnly();
}

const bool holds_registered = [] {
  add_once("watch/cgctl", {CGCTL_TOOL, "doctor", "--watch=2s"});
  add_once("watch/perf_record",
           {"perf", "record", "-F", "997", "-a", "-g", "-o", "/dev/null", "--", "sleep", "2"});
  return true;
}();

}  // namespace
}  // namespace cgctl::bench
