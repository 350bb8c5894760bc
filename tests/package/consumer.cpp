// SPDX-FileCopyrightText: The cgctl authors
// SPDX-License-Identifier: MIT
#include <cgctl/cgctl.hpp>
#include <cinttypes>
#include <cstdio>
#include <type_traits>

namespace {

/// Example of an agent's first lines. It is compiled but not run, because it writes.
[[maybe_unused]] void an_agent(const cgctl::Host& host) {
  const auto group = host.open("/kubepods/pod-a");
  if (!group) return;
  const cgctl::cpu::Controller cpu{*group};
  if (!cpu.set(cgctl::cpu::Bandwidth::cpus(0.5))) return;
  if (!cpu.set_weight(cgctl::cpu::Shares{512}, cgctl::cpu::Conversion::oci2025)) return;
  const auto stat = cpu.stat();
  if (stat && stat->usage)
    std::printf("%ju ns\n", static_cast<std::uintmax_t>(stat->usage->count()));
  const auto reader = cgctl::numa::Reader::open(*group);
  cgctl::numa::NumaStat out;
  if (reader && !reader->read(out)) std::printf("no numa_stat\n");
}

// A controller does not own its cgroup: with a temporary group it would dangle.
static_assert(!std::is_constructible_v<cgctl::cpu::Controller, cgctl::Group>);
static_assert(!std::is_constructible_v<cgctl::memory::Controller, cgctl::Group>);

}  // namespace

int main() {
  const auto host = cgctl::Host::detect();
  if (!host) {
    std::fprintf(stderr, "%s\n", host.error().message().c_str());
    return 1;
  }
  std::printf("mode %s\n", cgctl::to_string(host->mode()).data());

  const auto counted = cgctl::zombies::count(*host);
  if (counted) {
    std::printf("zombies %" PRIu64 "\n", counted->zombies());
  } else {
    std::printf("zombies unknown: %s\n", counted.error().message().c_str());
  }
}
