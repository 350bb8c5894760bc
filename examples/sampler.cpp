// SPDX-FileCopyrightText: The cgctl authors
// SPDX-License-Identifier: MIT
//
// The core of a node agent: sampler PATH [SECONDS]
//
// Samples the cgroup PATH and all cgroups below it once a second, and prints the CPUs and the
// memory that each uses. A sample takes a few pread(2) for each cgroup and allocates nothing.
// Cgroups may be created and removed meanwhile.
#include <cgctl/cgctl.hpp>
#include <chrono>
#include <cstdio>
#include <cstdlib>
#include <thread>

namespace {

void show(const cgctl::Sample& sample) {
  const std::uint64_t usage = sample.memory_usage.value_or(0);
  const std::uint64_t working_set = sample.memory_stat != nullptr
                                        ? cgctl::memory::working_set(usage, *sample.memory_stat)
                                        : usage;
  std::printf("%6.2f CPUs %8ju KiB in use %8ju KiB working set  %.*s\n", sample.cpus.value_or(0),
              static_cast<std::uintmax_t>(usage >> 10),
              static_cast<std::uintmax_t>(working_set >> 10), static_cast<int>(sample.path.size()),
              sample.path.data());
}

cgctl::Status watch(const char* path, int seconds) {
  const auto host = cgctl::Host::detect();
  if (!host) return cgctl::fail(host.error());
  auto sampler = cgctl::Sampler::open(*host, path);
  if (!sampler) return cgctl::fail(sampler.error());
  auto next = std::chrono::steady_clock::now();
  for (int second = 0; second < seconds; ++second) {
    const std::size_t unread = sampler->sample(show);
    std::printf("%zu cgroups, %zu of them not read whole\n", sampler->size(), unread);
    std::this_thread::sleep_until(next += std::chrono::seconds(1));
    if (auto status = sampler->refresh(); !status) return status;
  }
  return {};
}

}  // namespace

int main(int argc, char** argv) {
  if (argc < 2 || argc > 3) {
    std::fprintf(stderr, "usage: sampler PATH [SECONDS]\n");
    return 2;
  }
  if (const auto status = watch(argv[1], argc == 3 ? std::atoi(argv[2]) : 10); !status) {
    std::fprintf(stderr, "sampler: %s\n", status.error().message().c_str());
    return 1;
  }
}
