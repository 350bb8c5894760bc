// SPDX-FileCopyrightText: The cgctl authors
// SPDX-License-Identifier: MIT
#include "mitigation/reaper.hpp"

#include <fcntl.h>
#include <sys/prctl.h>
#include <time.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <cstdint>
#include <optional>
#include <string>
#include <utility>

#include "cgctl/filesystem.hpp"
#include "cgctl/parse.hpp"
#include "mitigation/control_file.hpp"

namespace cgctl::detail {
namespace {

using std::chrono::milliseconds;
using std::chrono::nanoseconds;

constexpr const char* once_file = "kernel/mm/memcg_reaper/reap";
constexpr const char* background_file = "kernel/mm/memcg_reaper/reap_background";
constexpr const char* interval_file = "kernel/mm/memcg_reaper/scan_interval";
constexpr const char* async_file = "sys/vm/clean_dying_memcg_async";
constexpr const char* threshold_file = "sys/vm/clean_dying_memcg_threshold";
constexpr const char* qos_file = "sys/vm/memory_qos";

bool may_write(const std::string& root, const char* file) {
  return ::access(fs::join(root, file).c_str(), W_OK) == 0;
}

/// Reads a file with one number; nothing if it is missing or has no number.
std::optional<std::uint64_t> number_in(const std::string& root, const char* file) {
  const auto text = fs::read_in_root(root, file);
  if (!text) return std::nullopt;
  std::string_view rest = *text;
  return parse::whole_number(parse::field(rest));
}

/// A setting that makes the kernel free zombies while it has the value `on`.
struct Switch {
  const std::string* root = nullptr;
  const char* file = "";
  std::int64_t magic = 0;
  std::uint64_t before = 0;
  std::uint64_t on = 1;
  nanoseconds hold{};  ///< the time for which it stays on
};

Switch background_switch(const Host& host, nanoseconds deadline) {
  constexpr std::uint64_t usual_interval = 5;
  const std::string& sys = host.roots().sys;
  const auto interval = number_in(sys, interval_file).value_or(usual_interval);
  // The thread sleeps for an interval between two scans.
  const auto scans = std::chrono::seconds(2 * std::min<std::uint64_t>(interval, 3600));
  return {&sys, background_file, fs::sysfs_magic, 0, 1, std::min<nanoseconds>(scans, deadline / 2)};
}

Switch dying_switch(const Host& host, Reaper reaper) {
  const std::string& proc = host.roots().proc;
  if (reaper == Reaper::dying) {
    // The thread begins with a pass over all zombies, and the write that ends the thread waits for
    // that pass, if the thread has begun it.
    return {&proc, async_file, fs::proc_magic, 0, 1, milliseconds(100)};
  }
  // The thread is woken if the threshold changes to a number that was reached.
  const std::uint64_t before = number_in(proc, threshold_file).value_or(0);
  const std::uint64_t on = before == 1 ? 2 : 1;
  return {&proc, threshold_file, fs::proc_magic, before, on, milliseconds(500)};
}

/// Waits for a time, or until the parent process has died. Makes system calls only.
void wait_with(pid_t parent, nanoseconds time) noexcept {
  constexpr milliseconds step(50);
  for (; time.count() > 0 && ::getppid() == parent; time -= step) {
    const auto rest = std::min<nanoseconds>(step, time).count();
    const timespec pause{0, static_cast<decltype(timespec::tv_nsec)>(rest)};
    ::nanosleep(&pause, nullptr);
  }
}

/// Restores the setting if the child could not.
Status restore(const Switch& it, const Isolation& how) {
  if (number_in(*it.root, it.file) == it.before) return {};
  const auto fd = open_control("restore", *it.root, it.file, it.magic);
  if (!fd) return fail(fd.error());
  const int error = write_control(fd->get(), std::to_string(it.before));
  // TencentOS stores a value that it answers with EINVAL.
  if (error == 0 || number_in(*it.root, it.file) == it.before) return {};
  return fail(fs::system_error("restore", how.path, error));
}

Result<nanoseconds> flip(const Switch& it, Isolation how) {
  how.path = fs::join(*it.root, it.file);
  // A sysctl takes only a write at the beginning of the file, so each write has a descriptor.
  const auto turn_on = open_control(how.operation, *it.root, it.file, it.magic);
  if (!turn_on) return fail(turn_on.error());
  const auto turn_off = open_control(how.operation, *it.root, it.file, it.magic);
  if (!turn_off) return fail(turn_off.error());
  const std::string on = std::to_string(it.on);
  const std::string before = std::to_string(it.before);
  const pid_t parent = ::getpid();
  const auto work = [&]() noexcept {
    // This process has to outlive its parent, to restore the setting.
    ::prctl(PR_SET_PDEATHSIG, 0);
    const int error = write_control(turn_on->get(), on);
    if (error == 0) wait_with(parent, it.hold);
    const int unrestored = write_control(turn_off->get(), before);
    return error != 0 ? error : unrestored;
  };
  auto took = run_isolated(work, how);
  if (auto status = restore(it, how); !status) return fail(status.error());
  return took;
}

Result<nanoseconds> reap_once(const Host& host, Isolation how) {
  how.path = fs::join(host.roots().sys, once_file);
  const auto control = open_control(how.operation, host.roots().sys, once_file, fs::sysfs_magic);
  if (!control) return fail(control.error());
  const auto work = [&control]() noexcept {
    // One round may free nothing; the document advises a few (memcg_zombie_reaper.rst).
    constexpr int rounds = 4;
    for (int round = 0; round < rounds; ++round) {
      const int error = write_control(control->get(), "1");
      if (error != 0) return round == 0 ? error : 0;
    }
    return 0;
  };
  return run_isolated(work, how);
}

}  // namespace

Reaper reaper_of(const Host& host) {
  const std::string& proc = host.roots().proc;
  const std::string& sys = host.roots().sys;
  if (may_write(sys, once_file)) return Reaper::once;
  if (may_write(sys, background_file)) {
    return number_in(sys, background_file) == 0 ? Reaper::background : Reaper::none;
  }
  // The kernel refuses to switch its thread on without vm.memory_qos or with a threshold of 0.
  const auto threshold = number_in(proc, threshold_file).value_or(0);
  if (!may_write(proc, async_file) || number_in(proc, qos_file) == 0 || threshold == 0) {
    return Reaper::none;
  }
  if (number_in(proc, async_file) == 0) return Reaper::dying;
  return may_write(proc, threshold_file) ? Reaper::threshold : Reaper::none;
}

Result<nanoseconds> reap(const Host& host, Isolation how) {
  how.operation = "reap";
  const Reaper reaper = reaper_of(host);
  if (reaper == Reaper::background) return flip(background_switch(host, how.deadline), how);
  if (reaper == Reaper::dying || reaper == Reaper::threshold) {
    return flip(dying_switch(host, reaper), how);
  }
  return reap_once(host, how);
}

}  // namespace cgctl::detail
