// SPDX-FileCopyrightText: The cgctl authors
// SPDX-License-Identifier: MIT
#include <fcntl.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <unistd.h>

#include <algorithm>
#include <cstdio>
#include <cstdlib>
#include <filesystem>
#include <string>
#include <utility>
#include <vector>

#include "cgctl/detail/directory.hpp"
#include "measure.hpp"

namespace cgctl::bench {
namespace {

/// Calls `body(tree)` with so many live cgroups, or skips.
template <class Body>
void with_tree(benchmark::State& state, Shape shape, std::uint64_t size, Body body) {
  with_arena(state, [&](Arena& arena) {
    auto tree = arena.tree(shape, size);
    if (const Tree* const* const it = value_or_skip(state, tree)) body(**it);
  });
}

void walk(benchmark::State& state, const Tree& tree) {
  measure(state, [&] {
    const auto count = zombies::count_directories(tree.directory.get(), tree.path);
    return count && *count == tree.size;
  });
}

/// `find DIR -type d | wc -l`, as someone at a shell counts.
std::uint64_t count_by_find() {
  std::FILE* const pipe = ::popen("find \"$CGCTL_BENCH_TOP\" -type d | wc -l", "re");
  if (pipe == nullptr) return 0;
  unsigned long count = 0;
  const bool read = std::fscanf(pipe, "%lu", &count) == 1;
  return ::pclose(pipe) == 0 && read ? count : 0;
}

void find(benchmark::State& state, const Tree& tree) {
  ::setenv("CGCTL_BENCH_TOP", tree.path.c_str(), 1);
  measure(state, [&] { return count_by_find() == tree.size; });
}

void std_filesystem(benchmark::State& state, const Tree& tree) {
  measure(state, [&] {
    const auto below = std::filesystem::recursive_directory_iterator(tree.path);
    const auto directories = std::count_if(begin(below), end(below),
                                           [](const auto& entry) { return entry.is_directory(); });
    return static_cast<std::uint64_t>(directories) + 1 == tree.size;
  });
}

/// The calls that a walk makes, in its order, with all that it has to find out known beforehand.
struct Calls {
  struct Call {
    int parent;
    std::string name;
    bool list;  // open, list and close it; else fstatat(2)
  };
  std::vector<UniqueFd> directories;
  std::vector<Call> calls;

  explicit Calls(const Tree& tree) {
    const rlim_t needed = tree.size + 1000;
    rlimit limit{};
    ::getrlimit(RLIMIT_NOFILE, &limit);
    if (limit.rlim_cur < needed) {
      limit = {needed, std::max(limit.rlim_max, needed)};
      ::setrlimit(RLIMIT_NOFILE, &limit);
    }
    add(tree.directory.get(), ".");
  }

 private:
  void add(int parent, const std::string& name) {
    calls.push_back({parent, name, true});
    directories.emplace_back(::openat(parent, name.c_str(), O_RDONLY | O_DIRECTORY | O_CLOEXEC));
    const int directory = directories.back().get();
    std::vector<char> buffer(detail::entries_buffer);
    std::vector<std::string> inner;
    detail::each_subdirectory(directory, buffer, [&](const char* child, bool leaf) {
      calls.push_back({directory, child, false});
      if (!leaf) inner.emplace_back(child);
    });
    for (const std::string& child : inner) add(directory, child);
  }
};

/// One fstatat(2) a directory.
void one_stat_each(benchmark::State& state, const Tree& tree) {
  const Calls known(tree);
  measure(state, [&] {
    std::uint64_t count = 1;
    struct ::stat found {};
    for (const auto& [parent, name, list] : known.calls) {
      if (!list && ::fstatat(parent, name.c_str(), &found, AT_SYMLINK_NOFOLLOW) == 0) ++count;
    }
    return count == tree.size;
  });
}

/// One fstatat(2) a directory, and those that have directories inside opened, listed and closed.
void same_calls(benchmark::State& state, const Tree& tree) {
  const Calls known(tree);
  std::vector<char> buffer(detail::entries_buffer);
  measure(state, [&] {
    std::uint64_t count = 1;
    struct ::stat found {};
    for (const auto& [parent, name, list] : known.calls) {
      if (list) {
        const UniqueFd fd(::openat(parent, name.c_str(), O_RDONLY | O_DIRECTORY | O_CLOEXEC));
        ssize_t got = 1;
        while (got > 0) got = sys::getdents64(fd.get(), buffer.data(), buffer.size());
        if (got < 0) return false;
      } else if (::fstatat(parent, name.c_str(), &found, AT_SYMLINK_NOFOLLOW) == 0) {
        ++count;
      }
    }
    return count == tree.size;
  });
}

const bool zombies_registered = [] {
  using Contender = void (*)(benchmark::State&, const Tree&);
  const std::initializer_list<std::pair<const char*, Contender>> contenders = {
      {"cgctl", walk},
      {"find", find},
      {"std_filesystem", std_filesystem},
      {"one_stat_each", one_stat_each},
      {"same_calls", same_calls}};
  for (const Shape shape : {Shape::flat, Shape::pods, Shape::chains}) {
    for (const std::uint64_t size : {100U, 1'000U, 10'000U, 50'000U}) {
      for (const auto& [name, contender] : contenders) {
        // They keep each inner directory open.
        const bool keeps = contender == one_stat_each || contender == same_calls;
        if (keeps && shape == Shape::chains && size > 10'000) continue;
        add("walk_" + to_string(shape) + "_" + std::to_string(size) + "/" + name,
            [shape, size, contender = contender](benchmark::State& state) {
              with_tree(state, shape, size, [&](const Tree& tree) { contender(state, tree); });
              state.counters["per"] = static_cast<double>(size);
            })
            ->Repetitions(size > 10'000 ? 5 : 15);
      }
    }
  }
  return true;
}();

}  // namespace
}  // namespace cgctl::bench
