// SPDX-FileCopyrightText: The cgctl authors
// SPDX-License-Identifier: MIT
#include "holds/names.hpp"

#include <fcntl.h>

#include <cstdio>

#include "cgctl/detail/sys.hpp"
#include "cgctl/parse.hpp"
#include "cgctl/unique_fd.hpp"

namespace cgctl::holds {
namespace {

constexpr std::size_t most_known = 256;

bool has_controller(std::string_view list, std::string_view controller) noexcept {
  while (!list.empty()) {
    const std::size_t comma = std::min(list.find(','), list.size());
    if (list.substr(0, comma) == controller) return true;
    list.remove_prefix(std::min(comma + 1, list.size()));
  }
  return false;
}

bool ends_with(std::string_view text, std::string_view end) noexcept {
  return text.size() >= end.size() && text.substr(text.size() - end.size()) == end;
}

/// True if a file of this path may be the one that the task works on. A descriptor may be closed,
/// or belong to another file by now.
bool fits(Cause cause, std::string_view path) noexcept {
  if (path.empty() || path.front() != '/') return false;
  if (cause == Cause::numa_stat) return ends_with(path, "/memory.numa_stat");
  if (cause == Cause::memory_stat) return ends_with(path, "/memory.stat");
  if (cause == Cause::drop_caches) return ends_with(path, "/drop_caches");
  if (cause != Cause::other) {
    return parse::starts_with(path, "/sys/") || parse::starts_with(path, "/proc/");
  }
  return true;
}

/// True for the system calls whose first argument is the descriptor of a file.
bool on_file(std::string_view call) noexcept {
  constexpr std::string_view calls[] = {"read",  "pread64",  "readv",  "preadv",
                                        "write", "pwrite64", "writev", "pwritev"};
  return std::find(std::begin(calls), std::end(calls), call) != std::end(calls);
}

}  // namespace

std::string_view memory_cgroup(std::string_view text, bool v2) noexcept {
  while (!text.empty()) {
    std::string_view row = parse::line(text);
    const std::size_t first = row.find(':');
    const std::size_t second = row.find(':', first + 1);
    if (first == std::string_view::npos || second == std::string_view::npos) continue;
    const std::string_view controllers = row.substr(first + 1, second - first - 1);
    const bool found = v2 ? controllers.empty() : has_controller(controllers, "memory");
    if (found) return row.substr(second + 1);
  }
  return {};
}

Names::Names(const Host& host) : proc_(host.roots().proc), known_(most_known) {
  const Hierarchy* const memory = host.find("memory");
  v2_ = memory == nullptr || memory->version == Version::v2;
}

/// Reads a file of a task; empty if that is not possible.
std::string_view Names::read(const char* form, pid_t pid, pid_t tid) noexcept {
  std::array<char, 512> path;
  std::snprintf(path.data(), path.size(), form, proc_.c_str(), pid, tid);
  const UniqueFd file(sys::open_at(AT_FDCWD, path.data(), O_RDONLY));
  if (!file) return {};
  const ssize_t got = sys::read(file.get(), text_.data(), text_.size());
  return {text_.data(), got > 0 ? static_cast<std::size_t>(got) : 0};
}

void Names::name(Task& task, Time now) noexcept {
  constexpr Time fresh = std::chrono::seconds(5);
  Known& known = known_[static_cast<std::size_t>(task.tid) % known_.size()];
  const bool same = known.pid == task.pid && known.tid == task.tid && task.tid != 0;
  if (!same || now - known.at > fresh) {
    if (allowed_ == 0 || task.tid <= 0) return;
    --allowed_;
    std::string_view comm = read("%s/%d/task/%d/comm", task.pid, task.tid);
    const Text<16> name = parse::line(comm);
    const Text<200> cgroup = memory_cgroup(read("%s/%d/cgroup", task.pid, 0), v2_);
    // A task that has ended keeps its old name, unless that was another task's.
    if (name.empty() && same) return;
    known = {task.pid, task.tid, now, name, cgroup};
  }
  task.comm = known.comm;
  task.cgroup = known.cgroup;
}

void Names::name_file(Task& task, std::uint64_t descriptor) noexcept {
  constexpr std::uint64_t highest = 1U << 30U;
  if (descriptor > highest || !on_file(task.call.view()) || allowed_ == 0) return;
  --allowed_;
  std::array<char, 512> path;
  std::snprintf(path.data(), path.size(), "%s/%d/fd/%d", proc_.c_str(), task.pid,
                static_cast<int>(descriptor));
  const ssize_t got = sys::read_link(path.data(), text_.data(), text_.size());
  const std::string_view target(text_.data(), got > 0 ? static_cast<std::size_t>(got) : 0);
  if (fits(task.cause, target)) task.file = target;
}

}  // namespace cgctl::holds
