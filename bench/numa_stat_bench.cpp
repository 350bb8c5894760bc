// SPDX-FileCopyrightText: The cgctl authors
// SPDX-License-Identifier: MIT
#include <fcntl.h>
#include <unistd.h>

#include <algorithm>
#include <charconv>
#include <cstdlib>
#include <cstring>
#include <fstream>
#include <map>
#include <string>
#include <string_view>
#include <system_error>
#include <vector>

#include "measure.hpp"

namespace cgctl::bench {
namespace {

constexpr std::size_t text_size = 4096;

/// Makes the bare system call on a descriptor that is kept open.
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

/// Reads the total and the nodes' values of each line.
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

/// Calls `body(arena)` with `size` cgroups and `size` zombies.
template <class Body>
void with_crowd(benchmark::State& state, std::uint64_t size, Body body) {
  with_arena(state, [&](Arena& arena) {
    if (size > 0) {
      if (const auto tree = arena.tree(Shape::flat, size); !tree) {
        return skip(state, tree.error().message());
      }
      if (const auto status = arena.zombies(size); !status) {
        return skip(state, status.error().message());
      }
    }
    body(arena);
  });
}

void root_by_nodes(benchmark::State& state, std::uint64_t size) {
  with_crowd(state, size, [&](const Arena& arena) {
    const auto reader = numa::RootReader::open(arena.host(), arena.memory().version);
    if (!reader) return skip(state, reader.error().message());
    numa::NumaStat out;
    measure(state, [&] {
      const bool done = reader->read(out).has_value();
      benchmark::DoNotOptimize(out);
      return done;
    });
    state.counters["nodes"] = static_cast<double>(reader->nodes());
  });
}

void root_by_file(benchmark::State& state, std::uint64_t size) {
  with_crowd(state, size, [&](const Arena& arena) {
    const auto root = arena.host().open("/");
    if (!root) return skip(state, root.error().message());
    const auto reader = numa::Reader::open(*root);
    if (!reader) return skip(state, reader.error().message());
    numa::NumaStat out;
    measure(state, [&] {
      const bool done = reader->read(out).has_value();
      benchmark::DoNotOptimize(out);
      return done;
    });
  });
}

/// Reads the files that RootReader reads, and nothing else.
void root_raw_preads(benchmark::State& state, std::uint64_t size) {
  with_crowd(state, size, [](const Arena&) {});
  if (state.error_occurred()) return;
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

/// Returns a text like memory.numa_stat: on v1 in pages, with one to seven digits; on v2 the same
/// numbers in bytes.
std::string synthetic(Version version, std::int64_t nodes) {
  const bool v1 = version == Version::v1;
  std::vector<std::string> names;
  for (const std::string prefix : {"", "hierarchical_"}) {
    for (const char* name : {"total", "file", "anon", "unevictable"})
      names.push_back(prefix + name);
  }
  if (!v1) {
    names = {"anon",          "file",        "kernel_stack",  "pagetables",
             "shmem",         "file_mapped", "inactive_anon", "active_anon",
             "inactive_file", "active_file", "unevictable",   "slab_reclaimable"};
  }
  std::string text;
  std::uint64_t seed = 1;
  for (const std::string& name : names) {
    text += name + (v1 ? "=" + std::to_string(nodes * 250'000) : "");
    for (std::int64_t node = 0; node < nodes; ++node) {
      seed = seed * 6364136223846793005U + 1442695040888963407U;
      const std::uint64_t pages = (seed >> 40U) >> (seed >> 60U);
      text += " N" + std::to_string(node) + "=" + std::to_string(v1 ? pages : pages * 4096);
    }
    text += '\n';
  }
  return text;
}

/// Measures `once(text)` with a made-up text.
template <class Once>
void with_text(benchmark::State& state, Version version, std::int64_t nodes, Once once) {
  const std::string text = synthetic(version, nodes);
  measure(state, [&] { return once(text); });
  using benchmark::Counter;
  state.counters["bytes"] = static_cast<double>(text.size());
  state.counters["s_per_byte"] = Counter(static_cast<double>(text.size()),
                                         Counter::kIsIterationInvariantRate | Counter::kInvert);
}

void parser(benchmark::State& state, Version version, std::int64_t nodes) {
  numa::NumaStat out;
  with_text(state, version, nodes, [&](const std::string& text) {
    const bool done = numa::parse(text, version, out).has_value();
    benchmark::DoNotOptimize(out);
    return done;
  });
}

/// The result of a plain parser.
struct Plain {
  struct Line {
    std::string_view name;
    std::uint64_t total;
    std::size_t first, count;
  };
  std::vector<char> text;
  std::vector<Line> lines;
  std::vector<numa::NodeValue> values;

  /// Copies the text, as numa::parse() does.
  void take(const std::string& from) {
    text.resize(from.size());
    std::copy(from.begin(), from.end(), text.begin());
    lines.clear();
    values.clear();
  }
};

template <class T>
bool number(const char*& at, const char* end, T& out) {
  const auto read = std::from_chars(at, end, out);
  at = read.ptr;
  return read.ec == std::errc();
}

bool parse_with_from_chars(Plain& out) {
  const char* at = out.text.data();
  const char* const end = at + out.text.size();
  while (at != end) {
    const char* const name = at;
    while (at != end && *at != '=' && *at != ' ') ++at;
    Plain::Line line{std::string_view(name, static_cast<std::size_t>(at - name)), 0,
                     out.values.size(), 0};
    if (at != end && *at == '=' && !number(++at, end, line.total)) return false;
    while (at != end && *at == ' ') {
      numa::NodeValue value{};
      if (end - at < 4 || at[1] != 'N' || !number(at += 2, end, value.node)) return false;
      if (at == end || *at != '=' || !number(++at, end, value.value)) return false;
      out.values.push_back(value);
    }
    if (at == end || *at++ != '\n') return false;
    line.count = out.values.size() - line.first;
    out.lines.push_back(line);
  }
  return true;
}

void from_chars(benchmark::State& state, Version version, std::int64_t nodes) {
  Plain out;
  with_text(state, version, nodes, [&](const std::string& text) {
    out.take(text);
    const bool done = parse_with_from_chars(out);
    benchmark::DoNotOptimize(out);
    return done;
  });
}

/// Finds the ends of the lines, and nothing else.
void memchr_pass(benchmark::State& state, Version version, std::int64_t nodes) {
  with_text(state, version, nodes, [&](const std::string& text) {
    const char* at = text.data();
    const char* const end = at + text.size();
    while (at != nullptr && at != end) {
      at = static_cast<const char*>(std::memchr(at, '\n', static_cast<std::size_t>(end - at)));
      if (at != nullptr) ++at;
    }
    benchmark::DoNotOptimize(at);
    return at == end;
  });
}

const bool numa_stat_registered = [] {
  add("numa_stat/cgctl", reader);
  add("numa_stat/raw_pread", [](auto& state) { raw_pread(state, "memory.numa_stat"); });
  add("numa_stat/open_read_close", open_read_close);
  add("numa_stat/ifstream_map", ifstream_map);
  for (const std::uint64_t size : {0U, 1'000U, 10'000U}) {
    const std::string subject = "root_numa_stat_" + std::to_string(size);
    add(subject + "/cgctl", [size](auto& state) { root_by_nodes(state, size); });
    add(subject + "/file", [size](auto& state) { root_by_file(state, size); });
    add(subject + "/raw_preads", [size](auto& state) { root_raw_preads(state, size); });
  }
  for (const Version version : {Version::v1, Version::v2}) {
    for (const std::int64_t nodes : {1, 2, 8, 64, 1024}) {
      const std::string subject =
          "parse_" + std::string(to_string(version)) + "_" + std::to_string(nodes);
      add(subject + "/cgctl", [=](auto& state) { parser(state, version, nodes); });
      add(subject + "/from_chars", [=](auto& state) { from_chars(state, version, nodes); });
      add(subject + "/memchr", [=](auto& state) { memchr_pass(state, version, nodes); });
    }
  }
  return true;
}();

}  // namespace
}  // namespace cgctl::bench
