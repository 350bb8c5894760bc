// SPDX-FileCopyrightText: The cgctl authors
// SPDX-License-Identifier: MIT
#include "cgctl/group.hpp"

#include <limits>

#include "c_api/convert.hpp"
#include "cgctl/cpu.hpp"
#include "cgctl/memory.hpp"

struct cgctl_group {
  cgctl::Group group;
};

namespace cgctl::c_api {
namespace {

/// Splits "cpu,memory".
std::vector<std::string> names_in(std::string_view list) {
  std::vector<std::string> names;
  while (!list.empty()) {
    const std::size_t comma = std::min(list.find(','), list.size());
    names.emplace_back(list.substr(0, comma));
    list.remove_prefix(std::min(comma + 1, list.size()));
  }
  return names;
}

void copy_usage(const cpu::Stat& stat, cgctl_cpu& out) noexcept {
  out.usage_ns = figure(stat.usage);
  out.user_ns = figure(stat.user);
  out.system_ns = figure(stat.system);
  out.periods = figure(stat.nr_periods);
  out.throttled_periods = figure(stat.nr_throttled);
  out.throttled_ns = figure(stat.throttled);
}

void copy_limit(const std::optional<cpu::Bandwidth>& limit, cgctl_cpu& out) noexcept {
  out.quota_us = out.period_us = CGCTL_ABSENT;
  if (!limit) return;
  out.quota_us = limit->quota ? figure(limit->quota) : CGCTL_NO_LIMIT;
  out.period_us = static_cast<std::uint64_t>(limit->period.count());
}

Result<cgctl_memory> memory_of(const Group& group) {
  const auto state = memory::Controller(group).state();
  if (!state) return fail(state.error());
  const auto stat = memory::stat(group);
  if (!stat) return fail(stat.error());
  cgctl_memory out{};
  out.usage = figure(state->usage);
  out.peak = figure(state->peak);
  out.max = !state->max ? CGCTL_ABSENT : state->max->bytes.value_or(CGCTL_NO_LIMIT);
  out.working_set = working_set_of(state->usage, *stat);
  out.anon = anon_of(*stat);
  out.file = file_of(*stat);
  return out;
}

Result<cgctl_cpu> cpu_of(const Group& group) {
  const auto stat = cpu::stat(group);
  if (!stat) return fail(stat.error());
  const auto state = cpu::Controller(group).state();
  if (!state) return fail(state.error());
  cgctl_cpu out{};
  copy_usage(*stat, out);
  copy_limit(state->bandwidth, out);
  return out;
}

/// Converts a time of cgctl.h; errc::invalid_argument if it is too long.
Result<std::chrono::microseconds> time_of(std::uint64_t microseconds) {
  constexpr std::uint64_t longest = std::numeric_limits<std::int64_t>::max() / 1000;
  if (microseconds > longest) {
    return fail(Error::make(errc::invalid_argument, "set", "cpu", "a time is too long"));
  }
  return std::chrono::microseconds(static_cast<std::int64_t>(microseconds));
}

Result<cpu::Change> change_of(std::uint64_t quota, std::uint64_t period) {
  cpu::Change change;
  change.quota.emplace();
  if (quota != CGCTL_NO_LIMIT) {
    const auto limit = time_of(quota);
    if (!limit) return fail(limit.error());
    change.quota->limit = *limit;
  }
  if (period == 0) return change;
  const auto wanted = time_of(period);
  if (!wanted) return fail(wanted.error());
  change.period = *wanted;
  return change;
}

template <class T>
Status without_value(const Result<T>& result) {
  return result ? Status{} : fail(result.error());
}

}  // namespace
}  // namespace cgctl::c_api

int cgctl_group_open(const cgctl_host* host, const char* path, cgctl_group** group,
                     cgctl_error* error) {
  using namespace cgctl;
  return c_api::guarded(error, [&]() -> Status {
    if (auto status = c_api::given(host, path, group); !status) return status;
    return c_api::hand_over(host->host.open(path), group);
  });
}

int cgctl_group_create(const cgctl_host* host, const char* path, const char* controllers,
                       cgctl_group** group, cgctl_error* error) {
  using namespace cgctl;
  return c_api::guarded(error, [&]() -> Status {
    if (auto status = c_api::given(host, path, group); !status) return status;
    Creation how;
    if (controllers != nullptr) how.controllers = c_api::names_in(controllers);
    return c_api::hand_over(Group::create(host->host, path, how), group);
  });
}

int cgctl_group_delete(cgctl_group* group, cgctl_error* error) {
  using namespace cgctl;
  return c_api::guarded(error, [&]() -> Status {
    if (auto status = c_api::given(group); !status) return status;
    return c_api::without_value(group->group.remove());
  });
}

int cgctl_group_cpu(const cgctl_group* group, cgctl_cpu* cpu, cgctl_error* error) {
  using namespace cgctl;
  return c_api::guarded(error, [&]() -> Status {
    if (auto status = c_api::given(group); !status) return status;
    const auto figures = c_api::cpu_of(group->group);
    return figures ? c_api::deliver(*figures, cpu) : fail(figures.error());
  });
}

int cgctl_group_memory(const cgctl_group* group, cgctl_memory* memory, cgctl_error* error) {
  using namespace cgctl;
  return c_api::guarded(error, [&]() -> Status {
    if (auto status = c_api::given(group); !status) return status;
    const auto figures = c_api::memory_of(group->group);
    return figures ? c_api::deliver(*figures, memory) : fail(figures.error());
  });
}

int cgctl_group_set_cpu(cgctl_group* group, std::uint64_t quota_us, std::uint64_t period_us,
                        cgctl_error* error) {
  using namespace cgctl;
  return c_api::guarded(error, [&]() -> Status {
    if (auto status = c_api::given(group); !status) return status;
    const auto change = c_api::change_of(quota_us, period_us);
    if (!change) return fail(change.error());
    return c_api::without_value(cpu::Controller(group->group).set(*change));
  });
}

int cgctl_group_set_memory_max(cgctl_group* group, std::uint64_t bytes, cgctl_error* error) {
  using namespace cgctl;
  return c_api::guarded(error, [&]() -> Status {
    if (auto status = c_api::given(group); !status) return status;
    memory::Change change;
    change.max.emplace();
    if (bytes != CGCTL_NO_LIMIT) change.max->bytes = bytes;
    return c_api::without_value(memory::Controller(group->group).set(change));
  });
}

void cgctl_group_free(cgctl_group* group) { delete group; }
