// SPDX-FileCopyrightText: The cgctl authors
// SPDX-License-Identifier: MIT
//
// The heart of a node agent: sampler PATH [SECONDS]
//
// Samples every cgroup directly below PATH each second through kept descriptors and prints the CPUs
// and the memory that each uses. A sample is a few pread(2) and allocates nothing; cgroups come and
// go meanwhile.
#include <cgctl/cgctl.hpp>
#include <chrono>
#include <cstdio>
#include <cstdlib>
#include <map>
#include <string>
#include <thread>

namespace {

using Clock = std::chrono::steady_clock;

struct Watched {
  cgctl::cpu::StatReader cpu;
  cgctl::memory::StatReader memory;
  cgctl::cpu::Stat last;
  Clock::time_point at;
};

using All = std::map<std::string, Watched>;

cgctl::Result<Watched> watch(const cgctl::Host& host, const std::string& path) {
  const auto group = host.open(path);
  if (!group) return cgctl::fail(group.error());
  auto cpu = cgctl::cpu::StatReader::open(*group);
  if (!cpu) return cgctl::fail(cpu.error());
  auto memory = cgctl::memory::StatReader::open(*group);
  if (!memory) return cgctl::fail(memory.error());
  Watched watched{std::move(*cpu), std::move(*memory), {}, Clock::now()};
  if (auto read = watched.cpu.read(watched.last); !read) return cgctl::fail(read.error());
  return watched;
}

/// Those that are new. One that is gone is noticed when it is read.
cgctl::Status find_new(const cgctl::Host& host, const std::string& path, All& all) {
  const auto parent = host.open(path);
  if (!parent) return cgctl::fail(parent.error());
  const auto names = parent->children();
  if (!names) return cgctl::fail(names.error());
  for (const std::string& name : *names) {
    if (all.count(name) != 0) continue;
    if (auto watched = watch(host, cgctl::fs::join(path, name)))
      all.emplace(name, std::move(*watched));
  }
  return {};
}

/// False when the cgroup is gone.
bool show(const std::string& name, Watched& watched, cgctl::memory::Stat& memory) {
  cgctl::cpu::Stat cpu;
  if (!watched.cpu.read(cpu) || !watched.memory.read(memory)) return false;
  const auto now = Clock::now();
  const auto rates = cgctl::cpu::rates(watched.last, cpu, now - watched.at, std::nullopt);
  watched.last = cpu;
  watched.at = now;
  using cgctl::memory::Key;
  const auto anonymous = memory[Key::anon] ? memory[Key::anon] : memory[Key::rss];
  const auto file = memory[Key::file] ? memory[Key::file] : memory[Key::cache];
  std::printf("%6.2f CPUs %8ju KiB anonymous %8ju KiB file  %s\n", rates.cpus.value_or(0),
              static_cast<std::uintmax_t>(anonymous.value_or(0) >> 10),
              static_cast<std::uintmax_t>(file.value_or(0) >> 10), name.c_str());
  return true;
}

cgctl::Status sample(const std::string& path, int seconds) {
  const auto host = cgctl::Host::detect();
  if (!host) return cgctl::fail(host.error());
  All all;
  cgctl::memory::Stat memory;  // one for all: the next read overwrites it
  auto next = Clock::now();
  for (int second = 0; second < seconds; ++second) {
    if (auto status = find_new(*host, path, all); !status) return status;
    std::this_thread::sleep_until(next += std::chrono::seconds(1));
    for (auto it = all.begin(); it != all.end();) {
      it = show(it->first, it->second, memory) ? std::next(it) : all.erase(it);
    }
    std::printf("%zu cgroups\n", all.size());
  }
  return {};
}

}  // namespace

int main(int argc, char** argv) {
  if (argc < 2 || argc > 3) {
    std::fprintf(stderr, "usage: sampler PATH [SECONDS]\n");
    return 2;
  }
  if (const auto status = sample(argv[1], argc == 3 ? std::atoi(argv[2]) : 10); !status) {
    std::fprintf(stderr, "sampler: %s\n", status.error().message().c_str());
    return 1;
  }
}
