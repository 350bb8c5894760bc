// SPDX-FileCopyrightText: The cgctl authors
// SPDX-License-Identifier: MIT
#include "arena.hpp"

#include <fcntl.h>
#include <sys/file.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <cerrno>
#include <chrono>
#include <csignal>
#include <cstdio>
#include <thread>

namespace cgctl::bench {
namespace {

/// Removes a cgroup of `parent` and all cgroups below it. Retries: a cgroup stays busy for a moment
/// after its last task has ended.
// NOLINTNEXTLINE(misc-no-recursion): as deep as the cgroups are.
Status remove_group(int parent, const std::string& name) {
  const auto group = fs::open_beneath(parent, name, O_RDONLY | O_DIRECTORY, name);
  if (!group && group.error().os_errno == ENOENT) return {};
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

Result<UniqueFd> make_group(int parent, const std::string& name) {
  if (::mkdirat(parent, name.c_str(), 0755) != 0) {
    return fail(fs::system_error("mkdir", name, errno));
  }
  return fs::open_beneath(parent, name, O_RDONLY | O_DIRECTORY, name);
}

bool enter(int group) {
  const UniqueFd procs(::openat(group, "cgroup.procs", O_WRONLY | O_CLOEXEC));
  return ::write(procs.get(), "0", 1) == 1;
}

Status in_child(const char* what, bool (*work)(int, int, std::uint64_t), int group, int pages,
                std::uint64_t count) {
  const pid_t child = ::fork();
  if (child < 0) return fail(fs::system_error("fork", "", errno));
  if (child == 0) ::_exit(work(group, pages, count) ? 0 : 1);
  int status = 0;
  if (::waitpid(child, &status, 0) != child || status != 0) {
    return fail(Error::make(errc::system, what, arena_name, "the child failed"));
  }
  return {};
}

/// Writes 16 MiB from inside the cgroup, which is charged for them.
bool fill(int group, int pages, std::uint64_t /*count*/) {
  const std::vector<char> block(std::size_t{1} << 20, 'x');
  bool done = enter(group);
  for (int i = 0; i < 16 && done; ++i) {
    done = ::write(pages, block.data(), block.size()) == static_cast<ssize_t>(block.size());
  }
  return done;
}

/// Creates and removes cgroups, each charged for one page of `pages`.
bool leave_zombies(int top, int pages, std::uint64_t count) {
  const std::array<char, 4096> page{'x'};
  const auto home = make_group(top, "home" + std::to_string(::getpid()));
  if (!home) return false;
  for (std::uint64_t i = 0; i < count; ++i) {
    const std::string name = "zombie" + std::to_string(i);
    const auto group = make_group(top, name);
    if (!group || !enter(group->get())) return false;
    if (::write(pages, page.data(), page.size()) != static_cast<ssize_t>(page.size())) return false;
    if (!enter(home->get()) || ::unlinkat(top, name.c_str(), AT_REMOVEDIR) != 0) return false;
  }
  return true;
}

}  // namespace

std::string to_string(Shape shape) {
  return shape == Shape::flat ? "flat" : shape == Shape::pods ? "pods" : "chains";
}

Arena& Arena::instance() {
  static Arena arena;
  return arena;
}

Arena::Arena() {
  if (const auto status = open(); !status) problem_ = status.error().message();
}

Arena::~Arena() {
  pages_.reset();
  life_.reset();
  if (guardian_ > 0) ::waitpid(guardian_, nullptr, 0);
}

Status Arena::open() {
  auto host = Host::detect();
  if (!host) return fail(host.error());
  host_ = std::move(*host);
  const auto memory = host_->require("memory");
  if (!memory) return fail(memory.error());
  memory_ = *memory;
  for (const char* controller : {"memory", "cpu", "cpuacct"}) {
    const Hierarchy* const hierarchy = host_->find(controller);
    const auto known = std::find(hierarchies_.begin(), hierarchies_.end(), hierarchy);
    if (hierarchy != nullptr && known == hierarchies_.end()) hierarchies_.push_back(hierarchy);
  }
  for (const Hierarchy* hierarchy : hierarchies_) {
    const int root = hierarchy->directory.get();
    const std::string path = fs::join(hierarchy->mount_point, arena_name);
    if (::mkdirat(root, arena_name, 0755) != 0 && errno != EEXIST) {
      return fail(fs::system_error("mkdir", path, errno));
    }
    auto top = fs::open_beneath(root, arena_name, O_RDONLY | O_DIRECTORY, path);
    if (!top) return fail(top.error());
    if (tops_.empty() && ::flock(top->get(), LOCK_EX | LOCK_NB) != 0) {
      return fail(Error::make(errc::busy, "lock", path, "another run is at work"));
    }
    tops_.push_back(std::move(*top));
  }
  if (auto status = clear(); !status) return status;
  if (auto status = start_guardian(); !status) return status;
  pages_ = UniqueFd(::memfd_create(arena_name, MFD_CLOEXEC));
  if (!pages_) return fail(fs::system_error("memfd_create", arena_name, errno));
  if (memory_->version == Version::v2) {
    const std::string path = fs::join(memory_->mount_point, arena_name);
    const auto control = fs::open_beneath(tops_[0].get(), "cgroup.subtree_control", O_WRONLY, path);
    if (!control) return fail(control.error());
    return fs::write_once(control->get(), memory_->has("cpu") ? "+memory +cpu" : "+memory", path);
  }
  return {};
}

Status Arena::clear() const {
  for (const UniqueFd& top : tops_) {
    const auto left = child_directories(top.get(), arena_name);
    if (!left) return fail(left.error());
    for (const std::string& name : *left) {
      if (auto status = remove_group(top.get(), name); !status) return status;
    }
  }
  return {};
}

Status Arena::start_guardian() {
  std::array<int, 2> ends{};
  if (::pipe2(ends.data(), O_CLOEXEC) != 0) return fail(fs::system_error("pipe", "", errno));
  UniqueFd wait(ends[0]);
  life_ = UniqueFd(ends[1]);
  guardian_ = ::fork();
  if (guardian_ < 0) return fail(fs::system_error("fork", "", errno));
  if (guardian_ != 0) return {};

  ::setsid();
  for (const int signal : {SIGHUP, SIGINT, SIGQUIT, SIGTERM, SIGPIPE}) std::signal(signal, SIG_IGN);
  life_.reset();
  char byte = 0;
  while (::read(wait.get(), &byte, 1) < 0 && errno == EINTR) {
  }
  Status removed;
  for (const Hierarchy* hierarchy : hierarchies_) {
    const Status status = remove_group(hierarchy->directory.get(), arena_name);
    if (!status) removed = status;
  }
  if (!removed) std::fprintf(stderr, "cgctl_bench: %s\n", removed.error().message().c_str());
  ::_exit(removed ? 0 : 1);
}

Result<Group> Arena::charged_group() {
  const std::string path = std::string("/") + arena_name + "/charged";
  if (!charged_) {
    if (auto status = add(path); !status) return fail(status.error());
    auto group = host_->open(path);
    if (!group) return fail(group.error());
    const auto opened =
        fs::open_beneath(memory_->directory.get(), path.substr(1), O_RDONLY | O_DIRECTORY, path);
    if (!opened) return fail(opened.error());
    const auto status = in_child("charge", fill, opened->get(), pages_.get(), 0);
    if (!status) return fail(status.error());
    charged_ = std::move(*group);
  }
  return host_->open(path);
}

Status Arena::add(const std::string& path) const {
  for (const Hierarchy* hierarchy : hierarchies_) {
    if (::mkdirat(hierarchy->directory.get(), path.c_str() + 1, 0755) != 0) {
      return fail(fs::system_error("mkdir", path, errno));
    }
  }
  return {};
}

Status Arena::remove(const std::string& path) const {
  for (const Hierarchy* hierarchy : hierarchies_) {
    if (::unlinkat(hierarchy->directory.get(), path.c_str() + 1, AT_REMOVEDIR) != 0) {
      return fail(fs::system_error("rmdir", path, errno));
    }
  }
  return {};
}

Result<std::string> Arena::groups(std::uint64_t size) {
  if (const auto known = groups_.find(size); known != groups_.end()) return known->second;
  const std::string path = std::string("/") + arena_name + "/groups" + std::to_string(size);
  if (auto status = add(path); !status) return fail(status.error());
  if (memory_->version == Version::v2) {
    const auto parent = host_->open(path);
    if (!parent) return fail(parent.error());
    const auto status =
        parent->write("cgroup.subtree_control", memory_->has("cpu") ? "+memory +cpu" : "+memory");
    if (!status) return fail(status.error());
  }
  std::array<char, 80> id{};
  for (std::uint64_t i = 1; i < size; ++i) {
    std::snprintf(id.data(), id.size(), "/%064lx", static_cast<unsigned long>(i));
    if (auto status = add(path + id.data()); !status) return fail(status.error());
  }
  groups_[size] = path;
  return path;
}

Result<const Tree*> Arena::tree(Shape shape, std::uint64_t size) {
  const auto key = std::pair(shape, size);
  if (const auto known = trees_.find(key); known != trees_.end()) return &known->second;
  const std::string name = to_string(shape) + std::to_string(size);
  auto top = make_group(tops_[0].get(), name);
  if (!top) return fail(top.error());
  Tree tree{size, fs::join(fs::join(memory_->mount_point, arena_name), name), std::move(*top)};
  std::array<char, 80> id{};
  for (std::uint64_t made = 1; made < size;) {
    // One branch: the second and later cgroups are siblings inside the first (pods), or each is
    // inside the one before (chains).
    const std::uint64_t wanted = shape == Shape::flat ? 1 : shape == Shape::pods ? 3 : 33;
    const std::uint64_t branch = std::min(wanted, size - made);
    std::snprintf(id.data(), id.size(), "pod%08lx-5e2c-4d1b-9a0f-6b7c8d9e0f10",
                  static_cast<unsigned long>(made));
    auto inside = make_group(tree.directory.get(), id.data());
    if (!inside) return fail(inside.error());
    for (std::uint64_t i = 1; i < branch; ++i) {
      std::snprintf(id.data(), id.size(), "%064lx", static_cast<unsigned long>(made + i));
      auto next = make_group(inside->get(), id.data());
      if (!next) return fail(next.error());
      if (shape == Shape::chains) inside = std::move(next);
    }
    made += branch;
  }
  return &trees_.emplace(key, std::move(tree)).first->second;
}

Status Arena::zombies(std::uint64_t size) {
  if (zombies_ >= size) return {};
  const auto status =
      in_child("make zombies", leave_zombies, tops_[0].get(), pages_.get(), size - zombies_);
  if (status) zombies_ = size;
  return status;
}

}  // namespace cgctl::bench
