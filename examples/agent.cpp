// SPDX-FileCopyrightText: The cgctl authors
// SPDX-License-Identifier: MIT
//
// A whole node agent: agent PATH STATE_DIR [ROUNDS]
//
// Four threads, each with objects of its own, share one Host:
//   samples all cgroups at and below PATH each second,
//   reads the root's memory by NUMA node within a budget of 10 ms,
//   counts zombies,
//   frees them when they do harm, at most as often as the policy says (keeps its history in
//   STATE_DIR).
#include <cgctl/cgctl.hpp>
#include <cgctl/mitigator.hpp>
#include <cgctl/numa_guarded.hpp>
#include <chrono>
#include <cstdio>
#include <cstdlib>
#include <string>
#include <thread>
#include <vector>

namespace {

using cgctl::Status;

Status sample(const cgctl::Host& host, const char* path) {
  static thread_local auto sampler = cgctl::Sampler::open(host, path);
  if (!sampler) return cgctl::fail(sampler.error());
  double cpus = 0;
  sampler->sample([&cpus](const cgctl::Sample& one) { cpus += one.cpus.value_or(0); });
  std::printf("sampled %zu cgroups\n", sampler->size());
  return sampler->refresh();
}

Status read_nodes(const cgctl::Host& host) {
  static thread_local auto reader = cgctl::numa::GuardedReader::open(host);
  if (!reader) return cgctl::fail(reader.error());
  static thread_local cgctl::numa::NumaStat stat;
  if (auto status = reader->read(stat); !status) return status;
  std::printf("read %zu figures by node from the %s\n", stat.size(),
              std::string(cgctl::numa::to_string(stat.source())).c_str());
  return {};
}

Status count(const cgctl::Host& host) {
  static thread_local auto counter = cgctl::zombies::Counter::open(host);
  if (!counter) return cgctl::fail(counter.error());
  const auto found = counter->count();
  if (!found) return cgctl::fail(found.error());
  std::printf("counted zombies: %ju\n", static_cast<std::uintmax_t>(found->zombies()));
  return {};
}

Status mitigate(const cgctl::Host& host, const char* state_dir) {
  using namespace cgctl::mitigation;
  static thread_local auto mitigator = Mitigator::open(host, state_dir);
  if (!mitigator) return cgctl::fail(mitigator.error());
  const auto report = mitigator->run(Policy{}, Urgency::as_configured);
  if (!report) return cgctl::fail(report.error());
  std::printf("mitigation: %s\n", report->plan.reason.c_str());
  return mitigator->save();
}

/// Calls `work` once a second, and prints its error if it fails.
template <class Work>
std::thread each_second(int rounds, Work work) {
  return std::thread([rounds, work] {
    for (int round = 0; round < rounds; ++round) {
      if (round != 0) std::this_thread::sleep_for(std::chrono::seconds(1));
      if (const Status done = work(); !done)
        std::fprintf(stderr, "agent: %s\n", done.error().message().c_str());
    }
  });
}

}  // namespace

int main(int argc, char** argv) {
  if (argc != 3 && argc != 4) {
    std::fprintf(stderr, "usage: agent PATH STATE_DIR [ROUNDS]\n");
    return 2;
  }
  const auto host = cgctl::Host::detect();
  if (!host) {
    std::fprintf(stderr, "agent: %s\n", host.error().message().c_str());
    return 1;
  }
  const int rounds = argc == 4 ? std::atoi(argv[3]) : 10;
  std::vector<std::thread> threads;
  threads.push_back(each_second(rounds, [&] { return sample(*host, argv[1]); }));
  threads.push_back(each_second(rounds, [&] { return read_nodes(*host); }));
  threads.push_back(each_second(rounds, [&] { return count(*host); }));
  threads.push_back(each_second(rounds, [&] { return mitigate(*host, argv[2]); }));
  for (std::thread& thread : threads) thread.join();
}
