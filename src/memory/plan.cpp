// SPDX-FileCopyrightText: The cgctl authors
// SPDX-License-Identifier: MIT
#include <limits>
#include <string>
#include <utility>

#include "cgctl/memory.hpp"

namespace cgctl::memory {
namespace {

using settings::Setting;
using Settings = std::vector<Setting>;

tl::unexpected<Error> refuse(errc kind, std::string reason, std::string hint) {
  return fail(Error::make(kind, "set", {}, std::move(reason), std::move(hint)));
}

std::string bytes_text(const Limit& limit) {
  return limit.bytes ? std::to_string(*limit.bytes) + " bytes" : "none";
}

/// True if limit `a` is at most limit `b`.
bool within(const Limit& a, const Limit& b) {
  return !b.bytes || (a.bytes && *a.bytes <= *b.bytes);
}

Limit sum(const Limit& a, const Limit& b) {
  if (!a.bytes || !b.bytes || *a.bytes > std::numeric_limits<std::uint64_t>::max() - *b.bytes) {
    return {};
  }
  return Limit{*a.bytes + *b.bytes};
}

struct Absence {
  bool wanted;
  const char* reason;
  const char* hint;
};

Status check_absences(std::initializer_list<Absence> absences) {
  for (const Absence& absence : absences) {
    if (absence.wanted) return refuse(errc::unsupported, absence.reason, absence.hint);
  }
  return {};
}

Status check_files(const State& now, const Change& wanted) {
  const char* const root = "the root cannot be limited; limit the cgroups below it";
  return check_absences({
      {wanted.max && !now.max, "this cgroup has no memory limit", root},
      {wanted.high && !now.high, "this cgroup has no memory.high", root},
      {wanted.low && !now.low, "this cgroup has no memory.low", root},
      {wanted.min && !now.min, "this cgroup has no memory.min", "Linux 4.18; not in the root"},
      {wanted.soft_limit && !now.soft_limit, "this cgroup has no soft limit", root},
      {wanted.swap_high && !now.swap_high, "this cgroup has no memory.swap.high",
       "it needs Linux 5.8 and swap accounting; the root has none"},
      {wanted.swappiness && !now.swappiness, "this cgroup has no memory.swappiness", ""},
      {wanted.oom_group && !now.oom_group, "this cgroup has no memory.oom.group",
       "it needs Linux 4.19; the root has none"},
      {wanted.oom_kill && !now.oom_kill, "this cgroup has no memory.oom_control", ""},
  });
}

Status check_v1(const State& now, const Change& wanted) {
  const bool swap = wanted.swap_max || wanted.memsw_max;
  return check_absences({
      {wanted.high.has_value(), "cgroup v1 has no memory.high", "set a memory limit instead"},
      {wanted.low.has_value(), "cgroup v1 has no memory.low",
       "the nearest to it is a soft limit on the other cgroups"},
      {wanted.min.has_value(), "cgroup v1 has no memory.min", ""},
      {wanted.swap_high.has_value(), "cgroup v1 has no memory.swap.high", ""},
      {wanted.oom_group.has_value(), "cgroup v1 has no memory.oom.group", ""},
      {swap && !now.memsw_max, "this kernel does not account swap",
       "boot with swapaccount=1, or leave swap unlimited"},
  });
}

Status check_v2(const State& now, const Change& wanted) {
  const bool swap = wanted.swap_max || wanted.memsw_max;
  return check_absences({
      {wanted.soft_limit.has_value(), "cgroup v2 has no soft limit",
       "protect the others with memory.low, or give this one a memory.high"},
      {wanted.swappiness.has_value(), "cgroup v2 has no memory.swappiness",
       "set vm.swappiness for the whole machine"},
      {wanted.oom_kill.has_value(), "cgroup v2 has no memory.oom_control",
       "OOM kills cannot be switched off"},
      {swap && !now.swap_max, "this cgroup has no memory.swap.max",
       "the kernel does not account swap (boot with swapaccount=1), or it is the root"},
  });
}

std::string text_v1(const Limit& limit) {
  return limit.bytes ? std::to_string(*limit.bytes) : "-1";
}

std::string text_v2(const Limit& limit) {
  return limit.bytes ? std::to_string(*limit.bytes) : "max";
}

Status add_limits_v1(const State& now, const Change& wanted, Settings& out) {
  const Limit max = wanted.max.value_or(now.max.value_or(Limit{}));
  const bool write_memsw = wanted.swap_max || wanted.memsw_max;
  if (wanted.swap_max && wanted.swap_max->bytes && !max.bytes) {
    return refuse(errc::invalid_argument,
                  "cgroup v1 limits swap only together with memory, and this cgroup has no memory "
                  "limit: its swap would stay unlimited",
                  "give a memory limit with it");
  }
  const Limit memsw_before = now.memsw_max.value_or(Limit{});
  Limit memsw = wanted.memsw_max.value_or(memsw_before);
  if (wanted.swap_max) memsw = sum(max, *wanted.swap_max);
  if ((wanted.max || write_memsw) && !within(max, memsw)) {
    return refuse(errc::invalid_argument,
                  "a memory limit of " + bytes_text(max) +
                      " is above that of memory and swap together, " + bytes_text(memsw),
                  write_memsw ? "it can be at most that" : "raise that one with it");
  }
  const Setting limit{"memory.limit_in_bytes", text_v1(max)};
  const Setting together{"memory.memsw.limit_in_bytes", text_v1(memsw)};
  const bool rises = within(memsw_before, memsw);
  if (write_memsw && rises) out.push_back(together);
  if (wanted.max) out.push_back(limit);
  if (write_memsw && !rises) out.push_back(together);
  if (wanted.soft_limit) out.push_back({"memory.soft_limit_in_bytes", text_v1(*wanted.soft_limit)});
  return {};
}

Status add_v1(const State& now, const Change& wanted, Settings& out) {
  if (auto status = add_limits_v1(now, wanted, out); !status) return status;
  if (wanted.swappiness) out.push_back({"memory.swappiness", std::to_string(*wanted.swappiness)});
  if (wanted.oom_kill) {
    // A write of 1 disables OOM kills. The old value is given because the file reads as several
    // lines.
    out.push_back({"memory.oom_control", *wanted.oom_kill ? "0" : "1", *now.oom_kill ? "0" : "1"});
  }
  return {};
}

Result<Limit> swap_of(const State& now, const Change& wanted) {
  if (wanted.swap_max) return *wanted.swap_max;
  const Limit& memsw = *wanted.memsw_max;
  if (!memsw.bytes) return Limit{};
  const Limit max = wanted.max.value_or(now.max.value_or(Limit{}));
  if (!within(max, memsw)) {
    return refuse(errc::invalid_argument,
                  "a memory limit of " + bytes_text(max) +
                      " is above that of memory and swap together, " + bytes_text(memsw),
                  "v2 limits swap alone: give a memory limit with it");
  }
  return Limit{*memsw.bytes - *max.bytes};
}

Status add_v2(const State& now, const Change& wanted, Settings& out) {
  const auto add = [&out](const char* file, const std::optional<Limit>& limit) {
    if (limit) out.push_back({file, text_v2(*limit)});
  };
  // `high` takes effect before a lower `max`, so that memory is reclaimed instead of OOM-killed; a
  // higher `max` is written first.
  const bool rises = wanted.max && within(*now.max, *wanted.max);
  if (rises) add("memory.max", wanted.max);
  add("memory.high", wanted.high);
  if (!rises) add("memory.max", wanted.max);
  add("memory.low", wanted.low);
  add("memory.min", wanted.min);
  if (wanted.swap_max || wanted.memsw_max) {
    const auto swap = swap_of(now, wanted);
    if (!swap) return fail(swap.error());
    out.push_back({"memory.swap.max", text_v2(*swap)});
  }
  add("memory.swap.high", wanted.swap_high);
  if (wanted.oom_group) out.push_back({"memory.oom.group", *wanted.oom_group ? "1" : "0"});
  return {};
}

}  // namespace

Result<std::vector<Setting>> plan(const State& now, const Change& wanted) {
  if (wanted.swap_max && wanted.memsw_max) {
    return refuse(errc::invalid_argument,
                  "a limit of swap and one of memory and swap together are the same setting",
                  "give one of them");
  }
  const bool v1 = now.version == Version::v1;
  auto status = v1 ? check_v1(now, wanted) : check_v2(now, wanted);
  if (status) status = check_files(now, wanted);
  Settings out;
  if (status) status = v1 ? add_v1(now, wanted, out) : add_v2(now, wanted, out);
  if (!status) return fail(status.error());
  return out;
}

}  // namespace cgctl::memory
