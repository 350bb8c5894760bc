// SPDX-FileCopyrightText: The cgctl authors
// SPDX-License-Identifier: MIT
#include <sys/resource.h>

#include <string>
#include <vector>

#include "measure.hpp"
#include "programs.hpp"

namespace cgctl::bench {
namespace {

/// Returns the CPU time of all child processes that have ended, in seconds.
double children_cpu() {
  constexpr double microsecond = 1e-6;
  rusage used{};
  ::getrusage(RUSAGE_CHILDREN, &used);
  const auto seconds = [](const timeval& time) {
    return static_cast<double>(time.tv_sec) + microsecond * static_cast<double>(time.tv_usec);
  };
  return seconds(used.ru_utime) + seconds(used.ru_stime);
}

/// Measures the CPU time of a program that samples all CPUs, its start included.
void sample(benchmark::State& state, const std::vector<std::string>& command) {
  for (auto _ : state) {
    const double before = children_cpu();
    if (!run(command)) return skip(state, command[0] + " failed, or is not installed");
    state.SetIterationTime(children_cpu() - before);
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
