// SPDX-FileCopyrightText: The cgctl authors
// SPDX-License-Identifier: MIT
#include "group/counterpart.hpp"

#include <array>

namespace cgctl::detail {
namespace {

struct Pair {
  std::string_view v1;
  std::string_view v2;
};

constexpr std::array pairs = {
    Pair{"cpu.shares", "cpu.weight"},
    Pair{"cpu.cfs_quota_us", "cpu.max"},
    Pair{"cpu.cfs_period_us", "cpu.max"},
    Pair{"cpu.cfs_burst_us", "cpu.max.burst"},
    Pair{"cpuacct.usage", "cpu.stat"},
    Pair{"cpuacct.stat", "cpu.stat"},
    Pair{"memory.limit_in_bytes", "memory.max"},
    Pair{"memory.usage_in_bytes", "memory.current"},
    Pair{"memory.max_usage_in_bytes", "memory.peak"},
    Pair{"memory.memsw.limit_in_bytes", "memory.swap.max"},
    Pair{"memory.memsw.usage_in_bytes", "memory.swap.current"},
    Pair{"memory.force_empty", "memory.reclaim"},
    Pair{"memory.failcnt", "memory.events"},
    Pair{"memory.oom_control", "memory.events"},
    Pair{"memory.soft_limit_in_bytes", "memory.low"},
    Pair{"freezer.state", "cgroup.freeze"},
    Pair{"tasks", "cgroup.threads"},
    Pair{"blkio.weight", "io.weight"},
    Pair{"blkio.bfq.weight", "io.bfq.weight"},
    Pair{"blkio.throttle.read_bps_device", "io.max"},
    Pair{"blkio.throttle.write_bps_device", "io.max"},
    Pair{"blkio.throttle.read_iops_device", "io.max"},
    Pair{"blkio.throttle.write_iops_device", "io.max"},
    Pair{"blkio.throttle.io_service_bytes", "io.stat"},
};

}  // namespace

std::string counterpart_hint(std::string_view file, Version version) {
  const bool v1 = version == Version::v1;
  std::string names;
  for (const Pair& pair : pairs) {
    if ((v1 ? pair.v2 : pair.v1) != file) continue;
    names += names.empty() ? "" : ", ";
    names += v1 ? pair.v1 : pair.v2;
  }
  if (names.empty()) return {};
  return std::string("cgroup ") + (v1 ? "v1" : "v2") + " has " + names + " instead";
}

}  // namespace cgctl::detail
