// SPDX-FileCopyrightText: The cgctl authors
// SPDX-License-Identifier: MIT
#include "group/kernel_files.hpp"

#include <algorithm>
#include <iterator>

#include "cgctl/parse.hpp"

namespace cgctl::detail {
namespace kernel_file_table {

using In = KernelFile::In;
using Role = KernelFile::Role;
using Form = KernelFile::Form;
using InTree = KernelFile::InTree;
using Undo = KernelFile::Undo;

constexpr In v1 = In::v1;
constexpr In v2 = In::v2;
constexpr In both = In::both;

constexpr Role setting = Role::setting;
constexpr Role inherited = Role::inherited;
constexpr Role state = Role::state;
constexpr Role counter = Role::counter;
constexpr Role trigger = Role::trigger;
constexpr Role tasks = Role::tasks;
constexpr Role control = Role::control;

constexpr Form plain = Form::plain;
constexpr Form size = Form::size;
constexpr Form list = Form::list;
constexpr Form quota = Form::quota;
constexpr Form shares = Form::shares;
constexpr Form rate = Form::rate;
constexpr Form keyed = Form::keyed;
constexpr Form weights = Form::weights;

constexpr InTree given = InTree::given;
constexpr InTree planned = InTree::planned;
constexpr InTree converted = InTree::converted;

constexpr Undo word = Undo::word;
constexpr Undo switches = Undo::switches;
constexpr Undo rules = Undo::rules;
constexpr Undo share = Undo::share;
constexpr Undo share_too = Undo::share_too;
constexpr Undo none = Undo::none;

// The columns are the members of KernelFile. A row without the last two has InTree::given and
// Undo::rewrite.
// clang-format off

constexpr KernelFile files[] = {
  {"cpu.shares",                       v1,   setting,   shares,  "1024",       "cpu.weight",          converted},
  {"cpu.cfs_quota_us",                 v1,   setting,   quota,   "-1",         "cpu.max",             converted},
  {"cpu.cfs_period_us",                v1,   setting,   plain,   "100000",     "cpu.max",             converted},
  {"cpu.cfs_burst_us",                 v1,   setting,   plain,   "0",          "cpu.max.burst",       converted},
  {"cpu.rt_runtime_us",                v1,   setting,   plain,   "0",          "",                    planned},
  {"cpu.rt_period_us",                 v1,   setting,   plain,   "1000000",    "",                    planned},
  {"cpu.idle",                         both, setting,   plain,   "0",          "",                    planned,   share_too},
  {"cpu.weight",                       v2,   setting,   plain,   "100",        "",                    converted},
  {"cpu.weight.nice",                  v2,   state,     plain,   "",           "",                    planned,   share},
  {"cpu.max",                          v2,   setting,   rate,    "max 100000", "",                    converted},
  {"cpu.max.burst",                    v2,   setting,   plain,   "0",          "",                    converted},
  {"cpu.uclamp.min",                   both, setting,   plain,   "0.00",       ""},
  {"cpu.uclamp.max",                   both, setting,   plain,   "max",        ""},
  {"cpuacct.usage",                    v1,   counter,   plain,   "",           "cpu.stat",            given,     none},
  {"cpuacct.stat",                     v1,   counter,   plain,   "",           "cpu.stat"},

  {"cpuset.cpus",                      both, setting,   list,    "",           ""},
  {"cpuset.mems",                      both, setting,   list,    "",           ""},
  {"cpuset.cpus.exclusive",            v2,   setting,   list,    "",           ""},
  {"cpuset.cpus.partition",            v2,   setting,   plain,   "member",     "",                    given,     word},
  {"cpuset.cpu_exclusive",             v1,   setting,   plain,   "0",          ""},
  {"cpuset.mem_exclusive",             v1,   setting,   plain,   "0",          ""},
  {"cpuset.mem_hardwall",              v1,   setting,   plain,   "0",          ""},
  {"cpuset.memory_migrate",            v1,   setting,   plain,   "0",          ""},
  {"cpuset.memory_spread_page",        v1,   inherited, plain,   "0",          ""},
  {"cpuset.memory_spread_slab",        v1,   inherited, plain,   "0",          ""},
  {"cpuset.sched_load_balance",        v1,   setting,   plain,   "1",          ""},
  {"cpuset.sched_relax_domain_level",  v1,   setting,   plain,   "-1",         ""},

  {"memory.limit_in_bytes",            v1,   setting,   size,    "-1",         "memory.max",          converted},
  {"memory.usage_in_bytes",            v1,   counter,   plain,   "",           "memory.current"},
  {"memory.max_usage_in_bytes",        v1,   counter,   plain,   "",           "memory.peak",         given,     none},
  {"memory.soft_limit_in_bytes",       v1,   setting,   size,    "-1",         "memory.low",          planned},
  {"memory.memsw.limit_in_bytes",      v1,   setting,   size,    "-1",         "memory.swap.max",     converted},
  {"memory.memsw.usage_in_bytes",      v1,   counter,   plain,   "",           "memory.swap.current"},
  {"memory.kmem.limit_in_bytes",       v1,   setting,   size,    "-1",         ""},
  {"memory.kmem.tcp.limit_in_bytes",   v1,   setting,   size,    "-1",         ""},
  {"memory.swappiness",                v1,   inherited, plain,   "60",         "",                    planned},
  {"memory.failcnt",                   v1,   counter,   plain,   "",           "memory.events",       given,     none},
  {"memory.oom_control",               v1,   inherited, plain,   "0",          "memory.events",       planned},
  {"memory.use_hierarchy",             v1,   inherited, plain,   "1",          ""},
  {"memory.move_charge_at_immigrate",  v1,   setting,   plain,   "0",          ""},
  {"memory.force_empty",               v1,   trigger,   plain,   "",           "memory.reclaim"},
  {"memory.pressure_level",            v1,   state,     plain,   "",           ""},
  {"memory.min",                       v2,   setting,   size,    "0",          "",                    planned},
  {"memory.low",                       v2,   setting,   size,    "0",          "",                    planned},
  {"memory.high",                      v2,   setting,   size,    "max",        "",                    planned},
  {"memory.max",                       v2,   setting,   size,    "max",        "",                    converted},
  {"memory.swap.max",                  v2,   setting,   size,    "max",        "",                    converted},
  {"memory.swap.high",                 v2,   setting,   size,    "max",        "",                    planned},
  {"memory.zswap.max",                 v2,   setting,   size,    "max",        ""},
  {"memory.zswap.writeback",           v2,   setting,   plain,   "1",          ""},
  {"memory.oom.group",                 v2,   setting,   plain,   "0",          "",                    planned},
  {"memory.reclaim",                   v2,   trigger,   plain,   "",           ""},

  {"pids.max",                         both, setting,   plain,   "max",        ""},

  {"blkio.weight",                     v1,   setting,   plain,   "500",        "io.weight"},
  {"blkio.weight_device",              v1,   setting,   keyed,   "",           ""},
  {"blkio.leaf_weight",                v1,   setting,   plain,   "500",        ""},
  {"blkio.leaf_weight_device",         v1,   setting,   keyed,   "",           ""},
  {"blkio.bfq.weight",                 v1,   setting,   plain,   "100",        "io.bfq.weight"},
  {"blkio.bfq.weight_device",          v1,   setting,   keyed,   "",           ""},
  {"blkio.throttle.read_bps_device",   v1,   setting,   keyed,   "0",          "io.max"},
  {"blkio.throttle.write_bps_device",  v1,   setting,   keyed,   "0",          "io.max"},
  {"blkio.throttle.read_iops_device",  v1,   setting,   keyed,   "0",          "io.max"},
  {"blkio.throttle.write_iops_device", v1,   setting,   keyed,   "0",          "io.max"},
  {"blkio.throttle.io_service_bytes",  v1,   counter,   plain,   "",           "io.stat"},
  {"blkio.prio.class",                 v1,   setting,   plain,   "no-change",  ""},
  {"blkio.reset_stats",                v1,   trigger,   plain,   "",           ""},
  {"io.weight",                        v2,   setting,   weights, "100",        ""},
  {"io.bfq.weight",                    v2,   setting,   weights, "100",        ""},
  {"io.max",                           v2,   setting,   keyed,   "max",        ""},
  {"io.latency",                       v2,   setting,   keyed,   "0",          ""},
  {"io.prio.class",                    v2,   setting,   plain,   "no-change",  ""},

  {"rdma.max",                         both, setting,   keyed,   "max",        ""},
  {"misc.max",                         both, setting,   keyed,   "max",        ""},
  {"dmem.max",                         v2,   setting,   keyed,   "max",        ""},
  {"dmem.low",                         v2,   setting,   keyed,   "0",          ""},
  {"dmem.min",                         v2,   setting,   keyed,   "0",          ""},
  {"net_cls.classid",                  v1,   setting,   plain,   "0",          ""},
  {"net_prio.ifpriomap",               v1,   setting,   keyed,   "0",          ""},

  {"freezer.state",                    v1,   state,     plain,   "",           "cgroup.freeze"},
  {"freezer.self_freezing",            v1,   counter,   plain,   "",           ""},
  {"freezer.parent_freezing",          v1,   counter,   plain,   "",           ""},
  {"devices.allow",                    v1,   state,     keyed,   "",           "",                    given,     rules},
  {"devices.deny",                     v1,   state,     keyed,   "",           "",                    given,     rules},
  {"devices.list",                     v1,   counter,   plain,   "",           ""},

  {"tasks",                            v1,   tasks,     plain,   "",           "cgroup.threads",      given,     none},
  {"cgroup.procs",                     both, tasks,     plain,   "",           "",                    given,     none},
  {"cgroup.threads",                   v2,   tasks,     plain,   "",           "",                    given,     none},
  {"cgroup.kill",                      v2,   control,   plain,   "",           ""},
  {"cgroup.event_control",             v1,   control,   plain,   "",           ""},
  {"cgroup.subtree_control",           v2,   control,   plain,   "",           "",                    given,     switches},
  {"cgroup.type",                      v2,   state,     plain,   "",           "",                    given,     none},
  {"cgroup.pressure",                  v2,   state,     plain,   "",           ""},
  {"cgroup.max.depth",                 v2,   setting,   plain,   "max",        ""},
  {"cgroup.max.descendants",           v2,   setting,   plain,   "max",        ""},
};

// A '*' stands for any text. The first matching row counts.
constexpr KernelFile patterns[] = {
  {"hugetlb.*.limit_in_bytes",         v1,   setting,   size,    "max",        ""},
  {"hugetlb.*.max",                    v2,   setting,   size,    "max",        ""},
  {"*failcnt",                         v1,   counter,   plain,   "",           "",                    given,     none},
  {"*.max_usage_in_bytes",             v1,   counter,   plain,   "",           "",                    given,     none},
  {"*usage_in_bytes",                  v1,   counter,   plain,   "",           ""},
  {"cpuacct.*",                        v1,   counter,   plain,   "",           ""},
  {"*.current",                        v2,   counter,   plain,   "",           ""},
  {"*.peak",                           v2,   counter,   plain,   "",           "",                    given,     none},
  {"*.events",                         v2,   counter,   plain,   "",           ""},
  {"*.local",                          v2,   counter,   plain,   "",           ""},
  {"*stat",                            both, counter,   plain,   "",           ""},
  {"*.pressure",                       v2,   state,     plain,   "",           "",                    given,     none},
  {"cgroup.*",                         both, state,     plain,   "",           ""},
};

// clang-format on

}  // namespace kernel_file_table
namespace {

bool fits(std::string_view pattern, std::string_view name) noexcept {
  const std::size_t star = pattern.find('*');
  const std::string_view end = pattern.substr(star + 1);
  return parse::starts_with(name, pattern.substr(0, star)) && name.size() >= end.size() &&
         name.substr(name.size() - end.size()) == end;
}

KernelFile unknown_file(std::string_view name) noexcept {
  const bool of_a_controller = name.find('.') != std::string_view::npos;
  return {name,
          KernelFile::In::both,
          of_a_controller ? KernelFile::Role::setting : KernelFile::Role::state,
          KernelFile::Form::unknown,
          "",
          ""};
}

}  // namespace

KernelFile kernel_file(std::string_view name) noexcept {
  const auto& files = kernel_file_table::files;
  const auto& patterns = kernel_file_table::patterns;
  const auto* const file = std::find_if(std::begin(files), std::end(files),
                                        [&](const KernelFile& row) { return row.name == name; });
  if (file != std::end(files)) return *file;
  const auto* const like =
      std::find_if(std::begin(patterns), std::end(patterns),
                   [&](const KernelFile& row) { return fits(row.name, name); });
  if (like == std::end(patterns)) return unknown_file(name);
  KernelFile found = *like;
  found.name = name;
  return found;
}

std::string counterpart_hint(std::string_view name, Version version) {
  const bool v1 = version == Version::v1;
  std::string names;
  for (const KernelFile& row : kernel_file_table::files) {
    if (row.counterpart.empty() || (v1 ? row.counterpart : row.name) != name) continue;
    names += names.empty() ? "" : ", ";
    names += v1 ? row.name : row.counterpart;
  }
  if (names.empty()) return {};
  return std::string("cgroup ") + (v1 ? "v1" : "v2") + " has " + names + " instead";
}

}  // namespace cgctl::detail
