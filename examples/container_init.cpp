// SPDX-FileCopyrightText: The cgctl authors
// SPDX-License-Identifier: MIT
//
// A container's PID 1: container_init COMMAND [ARG]...
//
// Creates a cgroup /container-N below this process's root, limited to half a CPU and 256 MiB, and
// runs the command in it. Passes signals on, reaps every orphan, and exits as the command did; the
// kernel kills the processes left in the PID namespace. Try it with
//   unshare --pid --fork --mount-proc container_init sh -c 'sleep 60 & sleep 1'
#include <sys/prctl.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cgctl/cgctl.hpp>
#include <csignal>
#include <cstdint>
#include <cstdio>
#include <random>
#include <string>

namespace {

/// Returns a path that no other container has. The process id would not do: every container's first
/// process is process 1.
std::string unique_path() {
  std::random_device random;
  const std::uint64_t number = std::uint64_t{random()} << 32 | random();
  return "/container-" + std::to_string(number);
}

cgctl::Status limit(const cgctl::Group& group) {
  const auto bandwidth = cgctl::cpu::Bandwidth::cpus(0.5);
  if (auto set = cgctl::cpu::Controller{group}.set(bandwidth); !set) return fail(set.error());
  cgctl::memory::Change memory;
  memory.max = cgctl::memory::Limit{256 << 20};
  if (auto set = cgctl::memory::Controller{group}.set(memory); !set) return fail(set.error());
  return {};
}

cgctl::Result<cgctl::Group> make_group() {
  const auto host = cgctl::Host::detect();
  if (!host) return cgctl::fail(host.error());
  const std::string path = unique_path();
  if (host->open(path)) {
    return cgctl::fail(cgctl::Error::make(cgctl::errc::busy, "create", path, "it exists already"));
  }
  auto group = cgctl::Group::create(*host, path);
  if (!group) return group;
  if (const auto limited = limit(*group); !limited) {
    (void)group->remove();
    return cgctl::fail(limited.error());
  }
  return group;
}

/// Waits for signals. SIGCHLD means that a child has ended; all others are passed on to the
/// command.
int supervise(pid_t command, const sigset_t& signals) {
  for (;;) {
    siginfo_t info{};
    const int signal = ::sigwaitinfo(&signals, &info);
    if (signal > 0 && signal != SIGCHLD) ::kill(command, signal);
    int status = 0;
    for (pid_t ended = 0; (ended = ::waitpid(-1, &status, WNOHANG)) > 0;) {
      if (ended != command) continue;
      return WIFSIGNALED(status) ? 128 + WTERMSIG(status) : WEXITSTATUS(status);
    }
  }
}

int complain(const cgctl::Error& error) {
  std::fprintf(stderr, "container_init: %s\n", error.message().c_str());
  return 1;
}

}  // namespace

int main(int argc, char** argv) {
  if (argc < 2) {
    std::fprintf(stderr, "usage: container_init COMMAND [ARG]...\n");
    return 2;
  }
  // PID 1 adopts orphans anyway; any other process must be a subreaper.
  ::prctl(PR_SET_CHILD_SUBREAPER, 1, 0, 0, 0);
  sigset_t signals;
  ::sigemptyset(&signals);
  for (const int signal : {SIGCHLD, SIGTERM, SIGINT, SIGHUP, SIGQUIT, SIGUSR1, SIGUSR2}) {
    ::sigaddset(&signals, signal);
  }
  sigset_t before;
  ::sigprocmask(SIG_BLOCK, &signals, &before);

  const auto group = make_group();
  if (!group) return complain(group.error());
  const auto child = cgctl::process::start(*group, {{argv + 1, argv + argc}, &before});
  const int status = child ? supervise(child->pid, signals) : complain(child.error());

  const auto removed = group->remove(
      {cgctl::Removal::Below::remove, cgctl::Removal::Tasks::kill, cgctl::Removal::Pages::empty});
  if (!removed) complain(removed.error());
  return status;
}
