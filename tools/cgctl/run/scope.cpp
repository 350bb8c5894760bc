// SPDX-FileCopyrightText: The cgctl authors
// SPDX-License-Identifier: MIT
#include "run/scope.hpp"

#include <sys/prctl.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cerrno>
#include <csignal>

#include "cgctl/filesystem.hpp"
#include "cgctl/group.hpp"

namespace cgctl::tool {
namespace {

[[noreturn]] void keep(pid_t parent, const sigset_t& mask) {
  ::prctl(PR_SET_PDEATHSIG, SIGKILL, 0, 0, 0);
  if (::getppid() != parent) ::_exit(0);
  ::setsid();
  ::sigprocmask(SIG_SETMASK, &mask, nullptr);
  for (;;) ::pause();
}

/// Makes a cgroup in each hierarchy in which its parent exists.
Status make_below(const Host& host, const std::string& parent, const char* name) {
  for (const Hierarchy& hierarchy : host.hierarchies()) {
    const std::string above = fs::join(hierarchy.mount_point, parent);
    struct stat found {};
    if (::stat(above.c_str(), &found) != 0) continue;
    const std::string path = fs::join(above, name);
    if (::mkdir(path.c_str(), 0755) != 0 && errno != EEXIST) {
      return fail(Error::system("create", path, errno));
    }
  }
  return {};
}

}  // namespace

Result<Keeper> Keeper::start(const sigset_t& mask) {
  Keeper keeper;
  const pid_t parent = ::getpid();
  keeper.pid_ = ::fork();
  if (keeper.pid_ == 0) keep(parent, mask);
  if (keeper.pid_ < 0) return fail(Error::system("run", "fork", errno));
  return keeper;
}

void Keeper::stop() noexcept {
  if (pid_ <= 0) return;
  ::kill(pid_, SIGKILL);
  while (::waitpid(pid_, nullptr, 0) < 0 && errno == EINTR) {
  }
  pid_ = -1;
}

Result<StartedScope> start_scope(const Host& host, systemd::Scope scope, const sigset_t& mask,
                                 int stop) {
  auto keeper = Keeper::start(mask);
  if (!keeper) return fail(keeper.error());
  scope.processes = {keeper->pid()};
  const auto unit = systemd::start_scope(scope, stop);
  if (!unit) return fail(unit.error());
  for (const char* const name : {"keeper", "command"}) {
    if (auto status = make_below(host, unit->cgroup, name); !status) return fail(status.error());
  }
  const auto beside = host.open(fs::join(unit->cgroup, "keeper"));
  if (!beside) return fail(beside.error());
  if (auto status = beside->attach(keeper->pid()); !status) return fail(status.error());
  return StartedScope{std::move(*keeper), fs::join(unit->cgroup, "command")};
}

}  // namespace cgctl::tool
