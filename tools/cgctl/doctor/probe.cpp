// SPDX-FileCopyrightText: The cgctl authors
// SPDX-License-Identifier: MIT
#include "doctor/probe.hpp"

#include <fcntl.h>
#include <signal.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cerrno>
#include <memory>
#include <thread>

#include "cgctl/filesystem.hpp"
#include "doctor/read_cost.hpp"

namespace cgctl::tool::doctor_command {
namespace {

/// Blocks the signals that end the program during its lifetime.
class Uninterrupted {
 public:
  Uninterrupted() {
    sigset_t held;
    sigemptyset(&held);
    for (const int signal : {SIGINT, SIGTERM, SIGHUP, SIGQUIT}) sigaddset(&held, signal);
    ::pthread_sigmask(SIG_BLOCK, &held, &before_);
  }
  Uninterrupted(const Uninterrupted&) = delete;
  Uninterrupted& operator=(const Uninterrupted&) = delete;
  ~Uninterrupted() { ::pthread_sigmask(SIG_SETMASK, &before_, nullptr); }

 private:
  sigset_t before_{};
};

/// A memory cgroup with empty children that are removed with it. They never hold a page.
class ScratchGroup {
 public:
  static Result<std::unique_ptr<ScratchGroup>> make(const Hierarchy& memory) {
    const std::string name = "cgctl-doctor-" + std::to_string(::getpid());
    auto group = std::unique_ptr<ScratchGroup>(
        new ScratchGroup("/" + name, fs::join(memory.mount_point, name)));
    if (::mkdir(group->directory_.c_str(), 0755) != 0) {
      Error error = fs::system_error("make cgroup", group->directory_, errno);
      group->directory_.clear();
      return fail(std::move(error));
    }
    if (auto status = group->include_children(memory.version); !status) {
      return fail(status.error());
    }
    return group;
  }

  ScratchGroup(const ScratchGroup&) = delete;
  ScratchGroup& operator=(const ScratchGroup&) = delete;
  ~ScratchGroup() {
    for (unsigned i = 0; i < children_; ++i) remove(child(i));
    if (!directory_.empty()) remove(directory_);
  }

  Status add_children(unsigned count) {
    for (unsigned i = 0; i < count; ++i) {
      if (::mkdir(child(children_).c_str(), 0755) != 0) {
        return fail(fs::system_error("make cgroup", child(children_), errno));
      }
      ++children_;
    }
    return {};
  }

  [[nodiscard]] const std::string& path() const noexcept { return path_; }

 private:
  ScratchGroup(std::string path, std::string directory) noexcept
      : path_(std::move(path)), directory_(std::move(directory)) {}

  /// Makes reads of this cgroup include its children: v2 needs the controller enabled for them, v1
  /// before Linux 5.11 needs memory.use_hierarchy to be 1.
  Status include_children(Version version) const {
    const bool v2 = version == Version::v2;
    const std::string control =
        directory_ + (v2 ? "/cgroup.subtree_control" : "/memory.use_hierarchy");
    if (!v2) {
      const auto now = fs::read_trusted(control);
      if (!now || *now != "0\n") return {};
    }
    const auto fd = fs::open_trusted(control, O_WRONLY);
    if (!fd) return fail(fd.error());
    return fs::write_once(fd->get(), v2 ? "+memory" : "1", control);
  }

  /// Removes a cgroup; retries, because rmdir can fail with EBUSY for a moment.
  static void remove(const std::string& directory) {
    for (int attempt = 0; attempt < 100; ++attempt) {
      if (::rmdir(directory.c_str()) == 0 || errno != EBUSY) return;
      std::this_thread::sleep_for(std::chrono::milliseconds(10));
    }
  }

  [[nodiscard]] std::string child(unsigned index) const {
    return directory_ + "/" + std::to_string(index);
  }

  std::string path_;
  std::string directory_;
  unsigned children_ = 0;
};

/// Returns how many more memory cgroups the kernel holds than before, after at most a second in
/// which it may free them.
std::optional<std::uint64_t> left_since(const Host& host, const Result<zombies::Count>& before) {
  if (!before) return std::nullopt;
  std::optional<std::uint64_t> left;
  for (int poll = 0; poll < 20 && left != 0; ++poll) {
    std::this_thread::sleep_for(std::chrono::milliseconds(50));
    const auto now = zombies::count(host);
    if (!now) return std::nullopt;
    left = now->low > before->low ? now->low - before->low : 0;
  }
  return left;
}

/// Measures a cgroup without and with children: the only way to tell on a machine with few cgroups.
Result<Walk> probe_walk(const Host& host, numa::CostGuard& guard, unsigned children) {
  const auto memory = host.require("memory");
  if (!memory) return fail(memory.error());
  const auto scratch = ScratchGroup::make(**memory);
  if (!scratch) return fail(scratch.error());
  const auto reader = reader_of(host, (*scratch)->path());
  if (!reader) return fail(reader.error());
  constexpr unsigned reads = 16;
  const nanoseconds slow = numa::CostGuard::Config{}.budget;
  const auto without = measure(*reader, slow, reads);
  if (!without) return fail(without.error());
  if (auto status = (*scratch)->add_children(children); !status) return fail(status.error());
  const auto with = measure(*reader, slow, reads);
  if (!with) return fail(with.error());
  guard.record({with->min, with->cpu}, children + 1, Clock::now().time_since_epoch());
  return judge(without->min, with->min, children + 1, Walk::Basis::probe);
}

}  // namespace

Result<Walk> probe(const Host& host, numa::CostGuard& guard, unsigned children,
                   std::optional<Probe>& left) {
  const auto before = zombies::count(host);
  auto walk = [&host, &guard, children] {
    const Uninterrupted held;
    return probe_walk(host, guard, children);
  }();
  if (walk) left = Probe{children, left_since(host, before)};
  return walk;
}

}  // namespace cgctl::tool::doctor_command
