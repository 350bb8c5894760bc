// SPDX-FileCopyrightText: The cgctl authors
// SPDX-License-Identifier: MIT

// slow_calls COMMAND [ARGUMENT...]: runs the command with slow system calls. A seccomp filter
// multiplies some thousand times before it allows a call, which takes microseconds. It applies to
// all that the command starts as well.

#include <linux/filter.h>
#include <linux/seccomp.h>
#include <sys/prctl.h>
#include <unistd.h>

#include <cerrno>
#include <cstddef>
#include <cstdio>
#include <cstring>
#include <vector>

namespace {

bool slow_down() {
  // The kernel allows 4,096 instructions (BPF_MAXINSNS).
  constexpr std::size_t multiplications = 4000;
  constexpr unsigned factor = 3;
  // Since Linux 5.11 the kernel skips a filter that always allows a call, unless the filter looks
  // at more than the call's number.
  std::vector<sock_filter> steps{BPF_STMT(BPF_LD | BPF_W | BPF_ABS, offsetof(seccomp_data, args))};
  steps.resize(1 + multiplications, BPF_STMT(BPF_ALU | BPF_MUL | BPF_K, factor));
  steps.push_back(BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_ALLOW));
  const sock_fprog program{static_cast<unsigned short>(steps.size()), steps.data()};
  return ::prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) == 0 &&
         ::prctl(PR_SET_SECCOMP, SECCOMP_MODE_FILTER, &program) == 0;
}

}  // namespace

int main(int argc, char** argv) {
  if (argc < 2) {
    std::fputs("usage: slow_calls COMMAND [ARGUMENT...]\n", stderr);
    return 2;
  }
  if (!slow_down()) {
    std::fprintf(stderr, "slow_calls: install a seccomp filter: %s\n", std::strerror(errno));
    return 1;
  }
  ::execvp(argv[1], argv + 1);
  std::fprintf(stderr, "slow_calls: run %s: %s\n", argv[1], std::strerror(errno));
  return 1;
}
