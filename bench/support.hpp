// SPDX-FileCopyrightText: The cgctl authors
// SPDX-License-Identifier: MIT
#pragma once

#include <benchmark/benchmark.h>
#include <fcntl.h>
#include <sys/file.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include <array>
#include <cerrno>
#include <chrono>
#include <csignal>
#include <cstdint>
#include <cstring>
#include <initializer_list>
#include <optional>
#include <string>
#include <string_view>
#include <thread>
#include <utility>
#include <vector>

#include "cgctl/cgctl.hpp"

/// What the benchmarks share: real cgroups to measure on, below one of their own that is removed
/// whatever becomes of the process.
namespace cgctl::bench {

inline constexpr const char* arena_name = "cgctl-bench";

inline void skip(benchmark::State& state, const std::string& reason) {
  state.SkipWithError(reason.c_str());
}

/// Measures `once`, which returns false when what it measures failed.
template <class Once>
void measure(benchmark::State& state, Once once) {
  for (auto _ : state) {
    if (!once()) return skip(state, "a read failed, or what it gave was wrong");
  }
}

/// Removes a cgroup below `parent` with all below it. A cgroup whose last task has just died is
/// busy for a moment.
// NOLINTNEXTLINE(misc-no-recursion): as deep as the cgroups are.
inline Status remove_group(int parent, const std::string& name) {
  const auto group = fs::open_beneath(parent, name, O_RDONLY | O_DIRECTORY, name);
  if (!group) return fail(group.error());
  const auto children = child_directories(group->get(), name);
  if (!children) return fail(children.error());
  for (const std::string& child : *children) {
    if (auto status = remove_group(group->get(), child); !status) return status;
  }
  for (int tries = 200; ::unlinkat(parent, name.c_str(), AT_REMOVEDIR) != 0; --tries) {
    if (errno == ENOENT) break;
    if (errno != EBUSY || tries == 0) return fail(fs::system_error("rmdir", name, errno));
    std::this_thread::sleep_for(std::chrono::milliseconds(10));
  }
  return {};
}

inline Result<UniqueFd> make_group(int parent, const std::string& name) {
  if (::mkdirat(parent, name.c_str(), 0755) != 0) {
    return fail(fs::system_error("mkdir", name, errno));
  }
  return fs::open_beneath(parent, name, O_RDONLY | O_DIRECTORY, name);
}

/// 10,000 live cgroups, the topmost included.
struct Tree {
  static constexpr std::uint64_t size = 10'000;
  std::string path;
  UniqueFd directory;
};

enum class Shape {
  flat,    ///< 9,999 leaves
  pods,    ///< kubepods, 3,333 pods of two containers each
  chains,  ///< 303 chains, 33 deep
};

inline constexpr std::initializer_list<std::pair<Shape, const char*>> shapes = {
    {Shape::flat, "flat"}, {Shape::pods, "pods"}, {Shape::chains, "chains"}};

/// The cgroup cgctl-bench of the memory hierarchy. A guardian process waits for the end of this
/// one, whatever ends it, and removes the cgroup with all below it; until it has, no other run can
/// begin (flock on the directory).
class Arena {
 public:
  /// The one of this process, made at the first call.
  static Arena& instance() {
    static Arena arena;
    return arena;
  }

  Arena(const Arena&) = delete;
  Arena& operator=(const Arena&) = delete;
  ~Arena() {
    charged_.reset();
    life_.reset();
    if (guardian_ > 0) ::waitpid(guardian_, nullptr, 0);
  }

  /// Why there is nothing to measure on, or empty.
  [[nodiscard]] const std::string& problem() const noexcept { return problem_; }
  [[nodiscard]] const Host& host() const noexcept { return *host_; }
  [[nodiscard]] const Hierarchy& memory() const noexcept { return *memory_; }

  /// The path of a cgroup without children that holds 16 MiB of memory.
  Result<std::string> charged_group() {
    const std::string name = "charged";
    if (!charged_) {
      auto group = make_group(directory_.get(), name);
      if (!group) return fail(group.error());
      UniqueFd memory(::memfd_create("cgctl-bench", MFD_CLOEXEC));
      if (!memory) return fail(fs::system_error("memfd_create", name, errno));
      if (auto status = charge(group->get(), memory.get()); !status) return fail(status.error());
      charged_ = std::move(memory);
    }
    return std::string("/") + arena_name + "/" + name;
  }

  Result<const Tree*> tree(Shape shape) {
    auto& tree = trees_.at(static_cast<std::size_t>(shape));
    if (!tree) {
      auto made = make_tree(shape);
      if (!made) return fail(made.error());
      tree = std::move(*made);
    }
    return &*tree;
  }

 private:
  Arena() {
    if (const auto status = open(); !status) problem_ = status.error().message();
  }

  Status open() {
    auto host = Host::detect();
    if (!host) return fail(host.error());
    host_ = std::move(*host);
    const auto memory = host_->require("memory");
    if (!memory) return fail(memory.error());
    memory_ = *memory;
    const int root = memory_->directory.get();
    const std::string path = fs::join(memory_->mount_point, arena_name);
    if (::mkdirat(root, arena_name, 0755) != 0 && errno != EEXIST) {
      return fail(fs::system_error("mkdir", path, errno));
    }
    auto directory = fs::open_beneath(root, arena_name, O_RDONLY | O_DIRECTORY, path);
    if (!directory) return fail(directory.error());
    if (::flock(directory->get(), LOCK_EX | LOCK_NB) != 0) {
      return fail(Error::make(errc::busy, "lock", path, "another run is at work"));
    }
    directory_ = std::move(*directory);
    if (auto status = clear(); !status) return status;
    if (auto status = start_guardian(); !status) return status;
    if (memory_->version == Version::v2) {
      const auto control =
          fs::open_beneath(directory_.get(), "cgroup.subtree_control", O_WRONLY, path);
      if (!control) return fail(control.error());
      return fs::write_once(control->get(), "+memory", path);
    }
    return {};
  }

  [[nodiscard]] Status clear() const {
    const auto left = child_directories(directory_.get(), arena_name);
    if (!left) return fail(left.error());
    for (const std::string& name : *left) {
      if (auto status = remove_group(directory_.get(), name); !status) return status;
    }
    return {};
  }

  Status start_guardian() {
    std::array<int, 2> ends{};
    if (::pipe2(ends.data(), O_CLOEXEC) != 0) return fail(fs::system_error("pipe", "", errno));
    UniqueFd wait(ends[0]);
    life_ = UniqueFd(ends[1]);
    guardian_ = ::fork();
    if (guardian_ < 0) return fail(fs::system_error("fork", "", errno));
    if (guardian_ != 0) return {};

    ::setsid();
    for (const int signal : {SIGHUP, SIGINT, SIGQUIT, SIGTERM, SIGPIPE}) {
      std::signal(signal, SIG_IGN);
    }
    life_.reset();
    char byte = 0;
    while (::read(wait.get(), &byte, 1) < 0 && errno == EINTR) {
    }
    const Status removed = remove_group(memory_->directory.get(), arena_name);
    if (!removed) std::fprintf(stderr, "cgctl_bench: %s\n", removed.error().message().c_str());
    ::_exit(removed ? 0 : 1);
  }

  /// Has another process, inside the cgroup, fill `memory`: its pages stay charged there.
  static Status charge(int group, int memory) {
    const pid_t child = ::fork();
    if (child < 0) return fail(fs::system_error("fork", "", errno));
    if (child == 0) {
      const UniqueFd procs(::openat(group, "cgroup.procs", O_WRONLY | O_CLOEXEC));
      bool done = ::write(procs.get(), "0", 1) == 1;
      const std::vector<char> block(std::size_t{1} << 20, 'x');
      for (int i = 0; i < 16 && done; ++i) {
        done = ::write(memory, block.data(), block.size()) == static_cast<ssize_t>(block.size());
      }
      ::_exit(done ? 0 : 1);
    }
    int status = 0;
    if (::waitpid(child, &status, 0) != child || status != 0) {
      return fail(Error::make(errc::system, "charge", "charged", "16 MiB could not be allocated"));
    }
    return {};
  }

  Result<Tree> make_tree(Shape shape) {
    const char* const name = (shapes.begin() + static_cast<std::ptrdiff_t>(shape))->second;
    auto top = make_group(directory_.get(), name);
    if (!top) return fail(top.error());
    Tree tree{fs::join(memory_->mount_point, std::string(arena_name) + "/" + name),
              std::move(*top)};
    std::uint64_t made = 1;
    std::array<char, 80> id{};
    while (made < Tree::size) {
      const auto number = static_cast<unsigned long>(made);
      // One branch: its cgroups are siblings inside the first (pods) or each inside the last.
      const std::uint64_t branch = shape == Shape::flat ? 1 : shape == Shape::pods ? 3 : 33;
      std::snprintf(id.data(), id.size(), "pod%08lx-5e2c-4d1b-9a0f-6b7c8d9e0f10", number);
      auto inside = make_group(tree.directory.get(), id.data());
      if (!inside) return fail(inside.error());
      for (std::uint64_t i = 1; i < branch; ++i) {
        std::snprintf(id.data(), id.size(), "%064lx", number + i);
        auto next = make_group(inside->get(), id.data());
        if (!next) return fail(next.error());
        if (shape == Shape::chains) inside = std::move(next);
      }
      made += branch;
    }
    return tree;
  }

  std::string problem_;
  std::optional<Host> host_;
  const Hierarchy* memory_ = nullptr;
  UniqueFd directory_;
  UniqueFd life_;  // its end is the guardian's sign
  pid_t guardian_ = -1;
  UniqueFd charged_;
  std::array<std::optional<Tree>, 3> trees_;
};

}  // namespace cgctl::bench
