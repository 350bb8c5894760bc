// SPDX-FileCopyrightText: The cgctl authors
// SPDX-License-Identifier: MIT
#include <fcntl.h>
#include <libcgroup.h>
#include <unistd.h>

#include <cstdlib>
#include <fstream>
#include <map>
#include <string>
#include <vector>

#include "support.hpp"

namespace cgctl::bench {
namespace {

constexpr std::size_t text_size = 4096;

/// Calls `body(group)` with a real memory cgroup, or skips.
template <class Body>
void with_group(benchmark::State& state, Body body) {
  Arena& arena = Arena::instance();
  if (!arena.problem().empty()) return skip(state, arena.problem());
  const auto path = arena.charged_group();
  if (!path) return skip(state, path.error().message());
  const auto group = arena.host().open(*path);
  if (!group) return skip(state, group.error().message());
  body(*group);
}

/// The bare system call on a kept descriptor.
void raw_pread(benchmark::State& state, const char* name) {
  with_group(state, [&](const Group& group) {
    const auto file = group.open_file(name, O_RDONLY);
    if (!file) return skip(state, file.error().message());
    std::vector<char> text(text_size);
    measure(state, [&] {
      const ssize_t got = ::pread(file->get(), text.data(), text.size(), 0);
      benchmark::DoNotOptimize(text.data());
      benchmark::ClobberMemory();
      return got > 0;
    });
  });
}

void reader(benchmark::State& state) {
  with_group(state, [&](const Group& group) {
    const auto reader = numa::Reader::open(group);
    if (!reader) return skip(state, reader.error().message());
    numa::NumaStat out;
    measure(state, [&] {
      const bool done = reader->read(out).has_value();
      benchmark::DoNotOptimize(out);
      return done;
    });
  });
}

void open_read_close(benchmark::State& state) {
  with_group(state, [&](const Group& group) {
    const std::string path = group.shown("memory.numa_stat");
    std::vector<char> text(text_size);
    measure(state, [&] {
      const int fd = ::open(path.c_str(), O_RDONLY | O_CLOEXEC);
      const ssize_t got = ::read(fd, text.data(), text.size());
      benchmark::DoNotOptimize(text.data());
      benchmark::ClobberMemory();
      return ::close(fd) == 0 && got > 0;
    });
  });
}

/// The total and the nodes' values of each line.
bool read_into_map(const std::string& path,
                   std::map<std::string, std::vector<std::uint64_t>>& out) {
  std::ifstream file(path);
  for (std::string line; std::getline(file, line);) {
    const std::size_t stop = line.find_first_of("= ");
    if (stop == std::string::npos) return false;
    auto& values = out[line.substr(0, stop)];
    for (std::size_t at = line.find('='); at != std::string::npos; at = line.find('=', at + 1)) {
      values.push_back(std::strtoull(line.c_str() + at + 1, nullptr, 10));
    }
  }
  return !out.empty();
}

void ifstream_map(benchmark::State& state) {
  with_group(state, [&](const Group& group) {
    const std::string path = group.shown("memory.numa_stat");
    measure(state, [&] {
      std::map<std::string, std::vector<std::uint64_t>> values;
      const bool done = read_into_map(path, values);
      benchmark::DoNotOptimize(values);
      return done;
    });
  });
}

/// What cgctl has for every flat keyed file.
void read_once_and_parse(benchmark::State& state) {
  with_group(state, [&](const Group& group) {
    const auto file = group.open_file("memory.stat", O_RDONLY);
    if (!file) return skip(state, file.error().message());
    std::vector<char> buffer;
    measure(state, [&] {
      const auto text = fs::read_once(file->get(), buffer, "memory.stat");
      if (!text) return false;
      for (std::string_view rest = *text; !rest.empty();) {
        std::string_view row = parse::line(rest);
        auto key = parse::field(row);
        auto value = parse::whole_number(parse::field(row));
        if (!value) return false;
        benchmark::DoNotOptimize(key);
        benchmark::DoNotOptimize(value);
      }
      return true;
    });
  });
}

void libcgroup_stats(benchmark::State& state) {
  with_group(state, [&](const Group& group) {
    if (const int status = ::cgroup_init(); status != 0) {
      return skip(state, std::string("cgroup_init: ") + ::cgroup_strerror(status));
    }
    const std::string path = group.path().substr(1);
    std::array<char, sizeof "memory"> controller{"memory"};
    measure(state, [&] {
      void* handle = nullptr;
      cgroup_stat stat;
      int status = ::cgroup_read_stats_begin(controller.data(), path.c_str(), &handle, &stat);
      while (status == 0) {
        benchmark::DoNotOptimize(stat);
        status = ::cgroup_read_stats_next(&handle, &stat);
      }
      ::cgroup_read_stats_end(&handle);
      return status == ECGEOF;
    });
  });
}

void root_reader(benchmark::State& state) {
  const auto host = Host::detect();
  if (!host) return skip(state, host.error().message());
  const auto reader = numa::RootReader::open(*host, Version::v1);
  if (!reader) return skip(state, reader.error().message());
  numa::NumaStat out;
  measure(state, [&] {
    const bool done = reader->read(out).has_value();
    benchmark::DoNotOptimize(out);
    return done;
  });
  state.counters["nodes"] = static_cast<double>(reader->nodes());
}

/// The files that RootReader reads, and nothing done with them.
void root_raw_preads(benchmark::State& state) {
  const std::string directory = "/sys/devices/system/node";
  const auto list = fs::read_trusted(directory + "/has_memory");
  if (!list) return skip(state, list.error().message());
  std::vector<UniqueFd> files;
  parse::ranges(*list, [&](std::uint64_t first, std::uint64_t last) {
    for (std::uint64_t id = first; id <= last; ++id) {
      const std::string path = directory + "/node" + std::to_string(id) + "/vmstat";
      files.emplace_back(::open(path.c_str(), O_RDONLY | O_CLOEXEC));
    }
  });
  std::vector<char> text(text_size);
  measure(state, [&] {
    for (const UniqueFd& file : files) {
      if (::pread(file.get(), text.data(), text.size(), 0) <= 0) return false;
      benchmark::DoNotOptimize(text.data());
      benchmark::ClobberMemory();
    }
    return !files.empty();
  });
}

/// A memory.numa_stat of v1 with values of one to seven digits.
std::string synthetic(std::int64_t nodes) {
  std::string text;
  std::uint64_t seed = 1;
  for (const std::string prefix : {"", "hierarchical_"}) {
    for (const char* name : {"total", "file", "anon", "unevictable"}) {
      text += prefix + name + "=" + std::to_string(nodes * 250'000);
      for (std::int64_t node = 0; node < nodes; ++node) {
        seed = seed * 6364136223846793005U + 1442695040888963407U;
        text += " N" + std::to_string(node) + "=" + std::to_string((seed >> 40U) >> (seed >> 60U));
      }
      text += '\n';
    }
  }
  return text;
}

void parser(benchmark::State& state, std::int64_t nodes) {
  const std::string text = synthetic(nodes);
  numa::NumaStat out;
  measure(state, [&] {
    const bool done = numa::parse(text, Version::v1, out).has_value();
    benchmark::DoNotOptimize(out);
    return done;
  });
  using benchmark::Counter;
  state.counters["bytes"] = static_cast<double>(text.size());
  state.counters["s_per_byte"] = Counter(static_cast<double>(text.size()),
                                         Counter::kIsIterationInvariantRate | Counter::kInvert);
}

const bool numa_stat_registered = [] {
  const auto add = [](const std::string& name, auto function) {
    benchmark::RegisterBenchmark(name.c_str(), function)
        ->MinTime(0.1)
        ->Repetitions(15)
        ->DisplayAggregatesOnly();
  };
  add("numa_stat/cgctl", reader);
  add("numa_stat/raw_pread", [](auto& state) { raw_pread(state, "memory.numa_stat"); });
  add("numa_stat/open_read_close", open_read_close);
  add("numa_stat/ifstream_map", ifstream_map);
  add("memory_stat/cgctl", read_once_and_parse);
  add("memory_stat/raw_pread", [](auto& state) { raw_pread(state, "memory.stat"); });
  add("memory_stat/libcgroup", libcgroup_stats);
  add("root_numa_stat/cgctl", root_reader);
  add("root_numa_stat/raw_preads", root_raw_preads);
  for (const std::int64_t nodes : {1, 2, 8, 64, 1024}) {
    add("parse_" + std::to_string(nodes) + "_nodes/cgctl",
        [nodes](benchmark::State& state) { parser(state, nodes); });
  }
  return true;
}();

}  // namespace
}  // namespace cgctl::bench
