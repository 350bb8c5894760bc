// SPDX-FileCopyrightText: The cgctl authors
// SPDX-License-Identifier: MIT
#include <dirent.h>
#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>

#include <algorithm>
#include <cstdio>
#include <cstdlib>
#include <filesystem>
#include <memory>
#include <string>
#include <utility>
#include <vector>

#include "detail/directory.hpp"
#include "measure.hpp"

namespace cgctl::bench {
namespace {

/// Calls `body(tree)` with `size` live cgroups, or skips the benchmark.
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

/// Measures a later count by a counter that keeps at most `descriptors` directories open.
void recount(benchmark::State& state, const Tree& tree, std::size_t descriptors) {
  zombies::DirectoryCounter counter(descriptors);
  const auto count = [&] {
    const auto counted = counter.count(tree.directory.get(), tree.path);
    return counted && *counted == tree.size;
  };
  if (!count()) return skip(state, "cgroups are missing");
  measure(state, count);
}

/// Counts with `find DIR -type d | wc -l`, as a person at a shell does.
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

/// Records the system calls of a walk, so that they can be repeated without the work of finding out
/// which calls to make.
class Calls {
 public:
  struct Call {
    enum Kind { open, list, stat, close };
    Kind kind;
    std::size_t name;  // offset in names_
  };

  explicit Calls(const Tree& tree) : buffer_(detail::make_entries()) {
    record(tree.directory.get(), ".");
  }

  /// Repeats the calls. Returns the number of directories, or 0 if a call failed.
  [[nodiscard]] std::uint64_t replay(int top) {
    std::uint64_t count = 1;
    std::vector<UniqueFd> opened;
    opened.reserve(64);
    struct ::stat found {};
    for (const auto& [kind, at] : calls_) {
      const char* const name = names_.data() + at;
      const int inside = opened.empty() ? top : opened.back().get();
      if (kind == Call::open) {
        opened.emplace_back(::openat(inside, name, O_RDONLY | O_DIRECTORY | O_CLOEXEC));
      } else if (kind == Call::list) {
        if (sys::getdents64(inside, buffer_->data(), buffer_->size()) < 0) return 0;
      } else if (kind == Call::stat) {
        if (::fstatat(inside, name, &found, AT_SYMLINK_NOFOLLOW) == 0) ++count;
      } else {
        opened.pop_back();
      }
    }
    return count;
  }

  /// A directory that has children, kept open, with their names.
  struct Parent {
    UniqueFd directory;
    std::vector<std::string> names;
  };
  [[nodiscard]] static std::vector<Parent> parents(const Tree& tree) {
    allow_descriptors(tree.size);
    std::vector<Parent> all;
    add_parent(tree.directory.get(), ".", *detail::make_entries(), all);
    return all;
  }

 private:
  static UniqueFd open_directory(int parent, const std::string& name) {
    return UniqueFd(::openat(parent, name.c_str(), O_RDONLY | O_DIRECTORY | O_CLOEXEC));
  }

  static void add_parent(int above, const std::string& name, detail::Entries& buffer,
                         std::vector<Parent>& all) {
    Parent parent{open_directory(above, name), {}};
    const int directory = parent.directory.get();
    std::vector<std::string> inner;
    detail::each_subdirectory(directory, buffer,
                              [&](const char* child, const struct ::stat& found) {
                                parent.names.emplace_back(child);
                                if (!detail::is_leaf(found)) inner.emplace_back(child);
                              });
    all.push_back(std::move(parent));
    for (const std::string& child : inner) add_parent(directory, child, buffer, all);
  }

  void add(Call::Kind kind, const std::string& name) {
    calls_.push_back({kind, names_.size()});
    names_.append(name).push_back('\0');
  }

  void record(int above, const std::string& name) {
    add(Call::open, name);
    const UniqueFd directory = open_directory(above, name);
    std::vector<std::string> inner;
    ssize_t got = 0;
    do {
      add(Call::list, "");
      got = sys::getdents64(directory.get(), buffer_->data(), buffer_->size());
      for (ssize_t at = 0; at < got;) {
        const auto* const entry = reinterpret_cast<const dirent64*>(buffer_->data() + at);
        at += entry->d_reclen;
        const std::string child(static_cast<const char*>(entry->d_name));
        if (entry->d_type != DT_DIR || child == "." || child == "..") continue;
        add(Call::stat, child);
        struct ::stat found {};
        const bool known =
            ::fstatat(directory.get(), child.c_str(), &found, AT_SYMLINK_NOFOLLOW) == 0;
        if (known && found.st_nlink != 2) inner.push_back(child);
      }
    } while (got > 0);
    for (const std::string& child : inner) record(directory.get(), child);
    add(Call::close, "");
  }

  std::unique_ptr<detail::Entries> buffer_;
  std::vector<Call> calls_;
  std::string names_;  // each ends with a NUL
};

/// Makes one fstatat(2) for each directory.
void one_stat_each(benchmark::State& state, const Tree& tree) {
  const std::vector<Calls::Parent> known = Calls::parents(tree);
  measure(state, [&] {
    std::uint64_t count = 1;
    struct ::stat found {};
    for (const auto& [directory, names] : known) {
      for (const std::string& name : names) {
        if (::fstatat(directory.get(), name.c_str(), &found, AT_SYMLINK_NOFOLLOW) == 0) ++count;
      }
    }
    return count == tree.size;
  });
}

/// Repeats all calls of a walk: one fstatat(2) for each directory; opens, lists and closes those
/// that have children.
void same_calls(benchmark::State& state, const Tree& tree) {
  Calls known(tree);
  measure(state, [&] { return known.replay(tree.directory.get()) == tree.size; });
}

void recount_all_kept(benchmark::State& state, const Tree& tree) {
  allow_descriptors(tree.size);
  recount(state, tree, tree.size);
}

void recount_none_kept(benchmark::State& state, const Tree& tree) { recount(state, tree, 0); }

using Contender = void (*)(benchmark::State&, const Tree&);

void add_contenders(const std::string& what,
                    const std::initializer_list<std::pair<const char*, Contender>>& contenders) {
  for (const Shape shape : {Shape::flat, Shape::pods, Shape::chains}) {
    for (const std::uint64_t size : {100U, 1'000U, 10'000U, 50'000U}) {
      for (const auto& [name, contender] : contenders) {
        // These contenders keep each directory that has children open.
        const bool keeps = contender == one_stat_each || contender == recount_all_kept;
        if (keeps && shape == Shape::chains && size > 10'000) continue;
        add(what + "_" + to_string(shape) + "_" + std::to_string(size) + "/" + name,
            [shape, size, contender = contender](benchmark::State& state) {
              with_tree(state, shape, size, [&](const Tree& tree) { contender(state, tree); });
              state.counters["per"] = static_cast<double>(size);
            })
            ->Repetitions(size > 10'000 ? 5 : 31);
      }
    }
  }
}

const bool zombies_registered = [] {
  add_contenders("walk", {{"cgctl", walk},
                          {"find", find},
                          {"std_filesystem", std_filesystem},
                          {"one_stat_each", one_stat_each},
                          {"same_calls", same_calls}});
  add_contenders("recount", {{"cgctl", recount_all_kept},
                             {"cgctl_none_kept", recount_none_kept},
                             {"find", find},
                             {"one_stat_each", one_stat_each}});
  return true;
}();

}  // namespace
}  // namespace cgctl::bench
