// SPDX-FileCopyrightText: The cgctl authors
// SPDX-License-Identifier: MIT
#include <dlfcn.h>
#include <fcntl.h>
#include <libcgroup.h>
#include <unistd.h>

#include <array>
#include <cstdlib>
#include <fstream>
#include <map>
#include <string>
#include <vector>

#include "measure.hpp"

namespace cgctl::bench {
namespace {

using Names = std::vector<std::string>;

/// The files of a full snapshot, the same that runc reads.
Names memory_files(Version version) {
  if (version == Version::v2) {
    return {"memory.current",  "memory.peak",      "memory.max",  "memory.swap.current",
            "memory.swap.max", "memory.swap.peak", "memory.stat", "memory.numa_stat"};
  }
  Names names{"memory.use_hierarchy", "memory.stat", "memory.numa_stat"};
  for (const std::string kind : {"", "memsw.", "kmem.", "kmem.tcp."}) {
    for (const char* figure : {"usage_in_bytes", "max_usage_in_bytes", "failcnt", "limit_in_bytes"})
      names.push_back("memory." + kind + figure);
  }
  return names;
}

Names cpu_files(const Group& group) {
  const auto place = group.place("cpu");
  if (!place || (*place)->hierarchy->version == Version::v2) return {"cpu.stat"};
  return {"cpu.stat", "cpuacct.usage", "cpuacct.usage_user", "cpuacct.usage_sys"};
}

Names memory_files_of(const Group& group) {
  return memory_files((*group.place("memory"))->hierarchy->version);
}

using FilesOf = Names (*)(const Group&);

void raw_preads(benchmark::State& state, FilesOf files_of) {
  with_group(state, [&](const Group& group) {
    std::vector<UniqueFd> files;
    for (const std::string& name : files_of(group)) {
      auto fd = group.open_file(name, O_RDONLY);
      if (fd) files.push_back(std::move(*fd));
    }
    std::vector<char> text(8192);
    measure(state, [&] {
      for (const UniqueFd& file : files) {
        if (::pread(file.get(), text.data(), text.size(), 0) <= 0) return false;
        benchmark::DoNotOptimize(text.data());
        benchmark::ClobberMemory();
      }
      return true;
    });
    state.counters["files"] = static_cast<double>(files.size());
  });
}

void ifstream_map(benchmark::State& state, FilesOf files_of) {
  with_group(state, [&](const Group& group) {
    Names paths;
    for (const std::string& name : files_of(group)) {
      if (group.open_file(name, O_RDONLY)) paths.push_back(group.shown(name));
    }
    measure(state, [&] {
      std::map<std::string, std::uint64_t> values;
      for (const std::string& path : paths) {
        std::ifstream file(path);
        for (std::string line; std::getline(file, line);) {
          const std::size_t space = line.find(' ');
          const std::string key = space == std::string::npos ? path : path + line.substr(0, space);
          values[key] = std::strtoull(line.c_str() + (space == std::string::npos ? 0 : space + 1),
                                      nullptr, 10);
        }
      }
      benchmark::DoNotOptimize(values);
      return values.size() >= paths.size();
    });
  });
}

void memory_snapshot(benchmark::State& state) {
  with_group(state, [&](const Group& group) {
    auto reader = memory::SnapshotReader::open(group);
    auto nodes = numa::Reader::open(group);
    if (value_or_skip(state, reader) == nullptr || value_or_skip(state, nodes) == nullptr) return;
    memory::Snapshot snapshot;
    numa::NumaStat numa;
    measure(state, [&] {
      const bool done = reader->read(snapshot) && nodes->read(numa);
      benchmark::DoNotOptimize(snapshot);
      benchmark::DoNotOptimize(numa);
      return done && snapshot.memory.usage > 0U;
    });
    state.counters["files"] = static_cast<double>(reader->descriptors() + 1);
  });
}

void cpu_snapshot(benchmark::State& state) {
  with_group(state, [&](const Group& group) {
    auto reader = cpu::StatReader::open(group);
    if (value_or_skip(state, reader) == nullptr) return;
    cpu::Stat stat;
    measure(state, [&] {
      const bool done = reader->read(stat).has_value();
      benchmark::DoNotOptimize(stat);
      return done;
    });
  });
}

/// Reads the lines of memory.stat, or of those files of cpu and cpuacct whose names end in "stat".
void libcgroup(benchmark::State& state, std::vector<std::string> controllers) {
  with_group(state, [&](const Group& group) {
    if (const int status = ::cgroup_init(); status != 0) {
      return skip(state, std::string("cgroup_init: ") + ::cgroup_strerror(status));
    }
    const std::string path = group.path().substr(1);
    measure(state, [&] {
      for (std::string& controller : controllers) {
        void* handle = nullptr;
        cgroup_stat stat;
        int status = ::cgroup_read_stats_begin(controller.data(), path.c_str(), &handle, &stat);
        while (status == 0) {
          benchmark::DoNotOptimize(stat);
          status = ::cgroup_read_stats_next(&handle, &stat);
        }
        ::cgroup_read_stats_end(&handle);
        if (status != ECGEOF) return false;
      }
      return true;
    });
  });
}

/// Loads a function of runc's library, only in this scene: a Go library starts threads.
template <class Function>
Function runc(benchmark::State& state, const char* name) {
  void* const library = ::dlopen(CGCTL_RUNC_YARDSTICK, RTLD_NOW);
  void* const function = library != nullptr ? ::dlsym(library, name) : nullptr;
  if (function == nullptr) skip(state, "needs golang-go and golang-github-opencontainers-runc-dev");
  return reinterpret_cast<Function>(function);
}

/// Measures with the time that `once` returns: nanoseconds of one call, or -1 for a failure.
template <class Once>
void measure_runc(benchmark::State& state, Once once) {
  for (auto _ : state) {
    const long long time = once();
    if (time < 0) return skip(state, "runc's library failed");
    state.SetIterationTime(static_cast<double>(time) * 1e-9);
  }
}

std::string directory_of(const Group& group, const char* controller) {
  const auto place = group.place(controller);
  return place ? fs::join((*place)->hierarchy->mount_point, group.path()) : std::string();
}

void runc_memory(benchmark::State& state) {
  const auto stats = runc<long long (*)(const char*)>(state, "runc_memory_stats");
  if (stats == nullptr) return;
  with_group(state, [&](const Group& group) {
    const std::string directory = directory_of(group, "memory");
    measure_runc(state, [&] { return stats(directory.c_str()); });
  });
}

void runc_cpu(benchmark::State& state) {
  const auto stats = runc<long long (*)(const char*, const char*)>(state, "runc_cpu_stats");
  if (stats == nullptr) return;
  with_group(state, [&](const Group& group) {
    const std::string cpu = directory_of(group, "cpu");
    const std::string cpuacct = directory_of(group, "cpuacct");
    measure_runc(state, [&] { return stats(cpu.c_str(), cpuacct.c_str()); });
  });
}

const bool snapshot_registered = [] {
  const auto cpu_names = [](const Group& group) { return cpu_files(group); };
  const auto memory_names = [](const Group& group) { return memory_files_of(group); };
  add("memory_snapshot/cgctl", memory_snapshot);
  add("memory_snapshot/raw_preads", [=](auto& state) { raw_preads(state, memory_names); });
  add("memory_snapshot/ifstream_map", [=](auto& state) { ifstream_map(state, memory_names); });
  add("memory_snapshot/libcgroup_stat_only", [](auto& state) { libcgroup(state, {"memory"}); });
  add("memory_snapshot/runc", runc_memory, Clock::inside);
  add("cpu_snapshot/cgctl", cpu_snapshot);
  add("cpu_snapshot/raw_preads", [=](auto& state) { raw_preads(state, cpu_names); });
  add("cpu_snapshot/ifstream_map", [=](auto& state) { ifstream_map(state, cpu_names); });
  add("cpu_snapshot/libcgroup", [](auto& state) { libcgroup(state, {"cpu", "cpuacct"}); });
  add("cpu_snapshot/runc", runc_cpu, Clock::inside);
  return true;
}();

}  // namespace
}  // namespace cgctl::bench
