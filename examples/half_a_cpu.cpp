// SPDX-FileCopyrightText: The cgctl authors
// SPDX-License-Identifier: MIT
//
// Limits a running process to half a CPU: half_a_cpu PID
//
// Creates the cgroup /half-a-cpu on the version that has the cpu controller, limits it, and moves
// the process in. `cgctl cpu /half-a-cpu` shows the effect; `cgctl delete --kill /half-a-cpu` kills
// the process and removes the cgroup.
#include <cgctl/cgctl.hpp>
#include <cstdio>
#include <cstdlib>

namespace {

cgctl::Status limit(pid_t process) {
  const auto host = cgctl::Host::detect();
  if (!host) return cgctl::fail(host.error());

  const auto group = cgctl::Group::create(*host, "/half-a-cpu", {{"cpu"}, std::nullopt});
  if (!group) return cgctl::fail(group.error());

  const auto written = cgctl::cpu::Controller{*group}.set(cgctl::cpu::Bandwidth::cpus(0.5));
  if (!written) return cgctl::fail(written.error());
  for (const auto& one : *written) {
    std::printf("%s: %s, was %s\n", one.file.c_str(), one.kept.c_str(), one.before.c_str());
  }
  return group->attach(process);
}

}  // namespace

int main(int argc, char** argv) {
  const int process = argc == 2 ? std::atoi(argv[1]) : 0;
  if (process <= 0) {
    std::fprintf(stderr, "usage: half_a_cpu PID\n");
    return 2;
  }
  if (const auto status = limit(process); !status) {
    std::fprintf(stderr, "half_a_cpu: %s\n", status.error().message().c_str());
    return 1;
  }
}
