// SPDX-FileCopyrightText: The cgctl authors
// SPDX-License-Identifier: MIT
#include "cgctl/process.hpp"

#include <fcntl.h>
#include <linux/sched.h>
#include <poll.h>
#include <signal.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

#include <array>
#include <cerrno>
#include <chrono>
#include <csignal>
#include <cstdint>
#include <thread>

#include "cgctl/filesystem.hpp"
#include "detail/blocked_signals.hpp"
#include "group/detail.hpp"

// Since Linux 5.7; the C library's headers may be older.
#ifndef CLONE_INTO_CGROUP
#define CLONE_INTO_CGROUP 0x200000000ULL
#endif

namespace cgctl::process {
namespace {

/// A failure in the child, reported to the parent through a pipe.
struct Failure {
  int os_errno;
  int door;  ///< index of the door that refused, or `program`
};
constexpr int program = -1;

/// A cgroup.procs file that the child writes itself into.
struct Door {
  const Group::Place* place;
  UniqueFd procs;
};

/// Data for the child, prepared before the fork: between fork and exec it may only make system
/// calls.
struct Start {
  std::vector<Door> doors;
  std::vector<char*> arguments;
  sigset_t mask;
  int failures;  // write end of the pipe
};

void default_actions() noexcept {
  for (int signal = 1; signal < NSIG; ++signal) {
    struct sigaction action {};
    if (::sigaction(signal, nullptr, &action) != 0 || action.sa_handler == SIG_IGN) continue;
    action = {};
    action.sa_handler = SIG_DFL;
    ::sigaction(signal, &action, nullptr);
  }
}

[[noreturn]] void end_with(int pipe, const Failure& failure) noexcept {
  (void)!::write(pipe, &failure, sizeof failure);
  ::_exit(127);
}

/// Runs in the child. `born` is the place it was created in, or null.
[[noreturn]] void enter_and_execute(const Start& start, const Group::Place* born) noexcept {
  int number = 0;
  for (const Door& door : start.doors) {
    ssize_t written = 0;
    do {
      written = door.place == born ? 1 : ::write(door.procs.get(), "0", 1);
    } while (written < 0 && errno == EINTR);
    if (written < 0) end_with(start.failures, {errno, number});
    ++number;
  }
  default_actions();
  ::sigprocmask(SIG_SETMASK, &start.mask, nullptr);
  ::execvp(start.arguments.front(), start.arguments.data());
  end_with(start.failures, {errno, program});
}

/// True if the kernel or a seccomp filter does not know clone3 or CLONE_INTO_CGROUP.
bool not_known(int os_errno) {
  return os_errno == ENOSYS || os_errno == E2BIG || os_errno == EINVAL || os_errno == EPERM;
}

/// Returns twice, like fork(2): 0 in the child; in the parent the child's pid or a negated errno.
long clone_into(int cgroup, int& pidfd) noexcept {
  clone_args args{};
  args.flags = CLONE_INTO_CGROUP | CLONE_PIDFD;
  args.exit_signal = SIGCHLD;
  args.pidfd = static_cast<__u64>(reinterpret_cast<std::uintptr_t>(&pidfd));
  args.cgroup = static_cast<__u64>(static_cast<unsigned>(cgroup));
  const long pid = ::syscall(SYS_clone3, &args, sizeof args);
  return pid < 0 ? -errno : pid;
}

Result<std::vector<Door>> open_doors(const Group& group) {
  if (auto status = group.require_all(); !status) return fail(status.error());
  std::vector<Door> doors;
  for (const Group::Place& place : group.places()) {
    const std::string shown = fs::join(place.hierarchy->mount_point, group.path());
    if (auto status = detail::require_cgroupfs(place.directory.get(), "run", shown); !status) {
      return fail(status.error());
    }
    auto procs = open_file_in(place, group.path(), "cgroup.procs", O_WRONLY);
    if (!procs) return fail(procs.error());
    doors.push_back({&place, std::move(*procs)});
  }
  return doors;
}

Error attach_failure(const Group& group, const Group::Place& place, int os_errno) {
  const std::string shown =
      fs::join(fs::join(place.hierarchy->mount_point, group.path()), "cgroup.procs");
  return detail::attach_error(Error::system("attach", shown, os_errno), "the new process",
                              place.hierarchy->version);
}

/// Waits for the child. True if it reported a failure or executed the program before `stop` became
/// readable. True also if poll(2) fails: the pipe is then read regardless of `stop`.
bool heard(int pipe, int stop) noexcept {
  std::array<pollfd, 2> watched{{{pipe, POLLIN, 0}, {stop, POLLIN, 0}}};
  int ready = 0;
  do {
    ready = ::poll(watched.data(), watched.size(), -1);
  } while (ready < 0 && errno == EINTR);
  return ready < 0 || watched[0].revents != 0;
}

bool reaped_soon(pid_t child) noexcept {
  for (int i = 0; i < 100; ++i) {
    const pid_t ended = ::waitpid(child, nullptr, WNOHANG);
    if (ended != 0 && !(ended < 0 && errno == EINTR)) return true;
    std::this_thread::sleep_for(std::chrono::milliseconds(10));
  }
  return false;
}

/// Kills a child that has not executed the program. A child that the v1 freezer holds cannot die,
/// so it is moved to the root of that hierarchy, which is never frozen.
Error abandon(const Group& group, const Start& start, pid_t child) {
  ::kill(child, SIGKILL);
  for (const Door& door : start.doors) {
    const Hierarchy& hierarchy = *door.place->hierarchy;
    if (hierarchy.version == Version::v2 || !hierarchy.has("freezer")) continue;
    const auto top = fs::open_beneath(hierarchy.directory.get(), "cgroup.procs", O_WRONLY, {});
    if (top) (void)fs::write_once(top->get(), std::to_string(child), {});
  }
  Error error = Error::make(
      errc::cancelled, "run", group.path(), "cancelled before the program started",
      "a program cannot start in a frozen cgroup, or at the memory limit with OOM kills off");
  if (!reaped_soon(child)) {
    error.hint += "; process " + std::to_string(child) + " ends when the cgroup is thawed";
  }
  return error;
}

/// Waits for the child's report. An empty report means that it has executed the program.
Result<Child> confirmed(const Group& group, const Command& command, const Start& start, Child child,
                        int pipe) {
  if (!heard(pipe, command.stop)) return fail(abandon(group, start, child.pid));
  Failure failure{};
  ssize_t got = 0;
  do {
    got = ::read(pipe, &failure, sizeof failure);
  } while (got < 0 && errno == EINTR);
  if (got == 0) return child;
  const int reason = errno;
  // After a failed read it is not known whether the program has started.
  if (got < 0) ::kill(child.pid, SIGKILL);
  while (::waitpid(child.pid, nullptr, 0) < 0 && errno == EINTR) {
  }
  if (got < 0) return fail(Error::system("execute", command.arguments.front(), reason));
  if (failure.door != program) {
    const auto number = static_cast<std::size_t>(failure.door);
    return fail(attach_failure(group, *start.doors[number].place, failure.os_errno));
  }
  Error error = Error::system("execute", command.arguments.front(), failure.os_errno);
  if (failure.os_errno == ENOENT) error.hint = "is it installed, and in PATH?";
  return fail(std::move(error));
}

}  // namespace

Result<Child> start(const Group& group, const Command& command) {
  if (command.arguments.empty()) {
    return fail(Error::make(errc::invalid_argument, "execute", {}, "no program is given"));
  }
  auto doors = open_doors(group);
  if (!doors) return fail(doors.error());
  std::array<int, 2> ends{};
  if (::pipe2(ends.data(), O_CLOEXEC) != 0) return fail(Error::system("execute", "pipe", errno));
  const UniqueFd reading(ends[0]);
  UniqueFd writing(ends[1]);

  Start start{std::move(*doors), {}, {}, writing.get()};
  std::vector<std::string> arguments = command.arguments;
  for (std::string& argument : arguments) start.arguments.push_back(argument.data());
  start.arguments.push_back(nullptr);

  Child child;
  const Group::Place* born = nullptr;
  for (const Group::Place& place : group.places()) {
    if (place.hierarchy->version == Version::v2) born = &place;
  }
  {
    const detail::BlockedSignals blocked;
    start.mask = command.signal_mask == nullptr ? blocked.before() : *command.signal_mask;
    int pidfd = -1;
    long pid = born == nullptr ? -ENOSYS : clone_into(born->directory.get(), pidfd);
    if (pid < 0 && not_known(static_cast<int>(-pid))) {
      born = nullptr;
      pid = ::fork();
      if (pid < 0) pid = -errno;
    }
    if (pid == 0) enter_and_execute(start, born);
    if (pid < 0) {
      const int reason = static_cast<int>(-pid);
      if (born != nullptr) return fail(attach_failure(group, *born, reason));
      return fail(Error::system("fork", group.path(), reason));
    }
    child.pid = static_cast<pid_t>(pid);
    child.pidfd.reset(pidfd);
  }
  writing.reset();
  if (!child.pidfd) {
    child.pidfd.reset(static_cast<int>(::syscall(SYS_pidfd_open, child.pid, 0)));
  }
  return confirmed(group, command, start, std::move(child), reading.get());
}

}  // namespace cgctl::process
