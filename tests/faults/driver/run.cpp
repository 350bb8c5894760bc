// SPDX-FileCopyrightText: The cgctl authors
// SPDX-License-Identifier: MIT
#include "run.hpp"

#include <fcntl.h>
#include <poll.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <csignal>
#include <cstdlib>
#include <fstream>
#include <sstream>
#include <stdexcept>
#include <thread>
#include <utility>

namespace cgctl::faults {
namespace {

constexpr int log_in_child = 90;

int memory_file(const char* name) {
  const int fd = ::memfd_create(name, MFD_CLOEXEC);
  if (fd < 0) throw std::runtime_error("memfd_create");
  ::fcntl(fd, F_SETFL, O_APPEND);
  return fd;
}

void clear(int fd) {
  if (::ftruncate(fd, 0) != 0) throw std::runtime_error("ftruncate");
}

std::string content(int fd) {
  std::string text(static_cast<std::size_t>(::lseek(fd, 0, SEEK_END)), '\0');
  if (::pread(fd, text.data(), text.size(), 0) != static_cast<ssize_t>(text.size())) text.clear();
  return text;
}

std::vector<Call> calls_of(const std::string& log) {
  std::vector<Call> calls;
  std::istringstream lines(log);
  for (std::string line; std::getline(lines, line);) {
    std::istringstream in(line);
    Call call;
    in >> call.strand >> call.number >> call.name;
    std::getline(in >> std::ws, call.where);
    calls.push_back(std::move(call));
  }
  return calls;
}

/// Returns this process's children, except `known`.
std::vector<pid_t> children_but(pid_t known) {
  std::ifstream in("/proc/self/task/" + std::to_string(::getpid()) + "/children");
  std::vector<pid_t> found;
  for (pid_t child = 0; in >> child;) {
    if (child != known) found.push_back(child);
  }
  return found;
}

std::string described(pid_t process) {
  std::ifstream in("/proc/" + std::to_string(process) + "/comm");
  std::string name;
  std::getline(in, name);
  return std::to_string(process) + " (" + name + ")";
}

/// Kills the processes that the command has left behind and returns their descriptions. This
/// process is a subreaper, so orphans become its children; a child that is about to end gets 200
/// ms.
std::vector<std::string> end_what_is_left(pid_t known) {
  std::vector<std::string> left;
  constexpr int attempts = 100;
  for (int i = 0; i < attempts; ++i) {
    bool any = false;
    for (const pid_t child : children_but(known)) {
      any = ::waitpid(child, nullptr, WNOHANG) == 0 || any;
    }
    if (!any) return left;
    std::this_thread::sleep_for(std::chrono::milliseconds(2));
  }
  for (const pid_t child : children_but(known)) {
    left.push_back(described(child));
    ::kill(child, SIGKILL);
    ::waitpid(child, nullptr, 0);
  }
  return left;
}

}  // namespace

Runner::Runner(std::string command, std::chrono::milliseconds patience)
    : command_(std::move(command)),
      patience_(patience),
      out_(memory_file("out")),
      err_(memory_file("err")),
      log_(memory_file("log")) {
  ::prctl(PR_SET_CHILD_SUBREAPER, 1);
}

Outcome Runner::run(const std::string& called, const std::vector<std::string>& arguments,
                    const std::string& directory, const std::string& fault,
                    const World& world) const {
  for (const int fd : {out_, err_, log_}) clear(fd);
  std::vector<char*> argv{const_cast<char*>((called.empty() ? command_ : called).c_str())};
  for (const std::string& one : arguments) argv.push_back(const_cast<char*>(one.c_str()));
  argv.push_back(nullptr);
  const pid_t child = ::fork();
  if (child < 0) throw std::runtime_error("fork");
  if (child == 0) {
    ::setpgid(0, 0);
    ::prctl(PR_SET_PDEATHSIG, SIGKILL);
    if (fault.empty()) {
      ::unsetenv("CGCTL_FAULT");
    } else {
      ::setenv("CGCTL_FAULT", fault.c_str(), 1);
    }
    ::setenv("CGCTL_FAULT_LOG", std::to_string(log_in_child).c_str(), 1);
    const int null = ::open("/dev/null", O_RDONLY);
    ::dup2(null, STDIN_FILENO);
    ::dup2(out_, STDOUT_FILENO);
    ::dup2(err_, STDERR_FILENO);
    ::dup2(log_, log_in_child);
    ::close(null);
    if (::chdir(directory.c_str()) == 0) ::execv(command_.c_str(), argv.data());
    ::_exit(126);
  }
  Outcome outcome;
  const int pidfd = static_cast<int>(::syscall(SYS_pidfd_open, child, 0));
  pollfd watched{pidfd, POLLIN, 0};
  int ready = 0;
  do {
    ready = ::poll(&watched, 1, static_cast<int>(patience_.count()));
  } while (ready < 0 && errno == EINTR);
  ::close(pidfd);
  outcome.hung = ready == 0;
  if (outcome.hung) ::kill(-child, SIGKILL);
  int status = 0;
  ::waitpid(child, &status, 0);
  outcome.signalled = WIFSIGNALED(status);
  outcome.status = outcome.signalled ? 128 + WTERMSIG(status) : WEXITSTATUS(status);
  outcome.left = end_what_is_left(world.sleeper());
  outcome.out = content(out_);
  outcome.err = content(err_);
  outcome.calls = calls_of(content(log_));
  return outcome;
}

}  // namespace cgctl::faults
