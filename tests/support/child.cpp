// SPDX-FileCopyrightText: The cgctl authors
// SPDX-License-Identifier: MIT
#include "child.hpp"

#include <fcntl.h>
#include <linux/filter.h>
#include <linux/seccomp.h>
#include <sched.h>
#include <sys/mount.h>
#include <sys/prctl.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

#include <array>
#include <cerrno>
#include <cstddef>
#include <cstring>
#include <exception>
#include <iterator>

namespace cgctl::test {
namespace {

std::string run_guarded(const std::function<std::string()>& work) {
  try {
    return work();
  } catch (const std::exception& thrown) {
    return std::string("threw: ") + thrown.what();
  }
}

std::string read_to_end(int fd) {
  std::string text;
  std::array<char, 4096> part{};
  for (;;) {
    const ssize_t got = ::read(fd, part.data(), part.size());
    if (got < 0 && errno == EINTR) continue;
    if (got <= 0) return text;
    text.append(part.data(), static_cast<std::size_t>(got));
  }
}

}  // namespace

std::string in_child(const std::function<std::string()>& work) {
  std::array<int, 2> ends{};
  if (::pipe2(ends.data(), O_CLOEXEC) != 0) return "pipe2 failed";
  const pid_t child = ::fork();
  if (child < 0) return "fork failed";
  if (child == 0) {
    const std::string complaint = run_guarded(work);
    const ssize_t told = ::write(ends[1], complaint.data(), complaint.size());
    ::_exit(told == static_cast<ssize_t>(complaint.size()) ? 0 : 1);
  }
  ::close(ends[1]);
  std::string complaint = read_to_end(ends[0]);
  ::close(ends[0]);
  int status = 0;
  while (::waitpid(child, &status, 0) < 0 && errno == EINTR) {
  }
  if (!WIFEXITED(status) || WEXITSTATUS(status) != 0) {
    complaint += " [child ended with status " + std::to_string(status) + "]";
  }
  return complaint;
}

std::string cannot_mount() {
  if (::geteuid() != 0) return "mounting needs root";
  const std::string complaint = in_private_mounts([] { return std::string(); });
  if (complaint.empty()) return {};
  return "mounts cannot be made private here, as in a chroot whose root is no mount point (" +
         complaint + ")";
}

std::string in_private_mounts(const std::function<std::string()>& work) {
  return in_child([&]() -> std::string {
    if (::unshare(CLONE_NEWNS) != 0) return std::string("unshare: ") + std::strerror(errno);
    if (::mount("none", "/", nullptr, MS_REC | MS_PRIVATE, nullptr) != 0) {
      return std::string("make mounts private: ") + std::strerror(errno);
    }
    return work();
  });
}

void refuse_call(unsigned number, unsigned error) {
  ::sock_filter filter[] = {
      BPF_STMT(BPF_LD | BPF_W | BPF_ABS, offsetof(seccomp_data, nr)),
      BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, number, 0, 1),
      BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_ERRNO | error),
      BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_ALLOW),
  };
  const ::sock_fprog program = {std::size(filter), filter};
  ::prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0);
  ::prctl(PR_SET_SECCOMP, SECCOMP_MODE_FILTER, &program);
}

void refuse_bpf() { refuse_call(SYS_bpf, EPERM); }

}  // namespace cgctl::test
