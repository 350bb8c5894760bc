// SPDX-FileCopyrightText: The cgctl authors
// SPDX-License-Identifier: MIT
#include "cgctl/memory.hpp"

#include <fcntl.h>

#include <cerrno>
#include <string>

#include "cgctl/parse.hpp"
#include "memory/limit_text.hpp"
#include "settings/transaction.hpp"

namespace cgctl::memory {
namespace {

using cgctl::detail::malformed;
using cgctl::detail::Rule;
using cgctl::detail::ValueFiles;

constexpr auto for_reading = ValueFiles::For::reading;
constexpr auto for_writing = ValueFiles::For::writing;

Status read_number(ValueFiles& files, std::string_view file, std::optional<std::uint64_t>& out) {
  const auto text = files.read(file);
  if (!text) return fail(text.error());
  if (!*text) return {};
  out = parse::whole_number(**text);
  if (!out) return malformed(files.group(), file, **text);
  return {};
}

Status read_limit(ValueFiles& files, std::string_view file, std::optional<Limit>& out) {
  const auto text = files.read(file);
  if (!text) return fail(text.error());
  if (!*text) return {};
  out = detail::limit(**text);
  if (!out) return malformed(files.group(), file, **text);
  return {};
}

struct Number {
  const char* file;
  std::optional<std::uint64_t> State::*member;
};

struct Bound {
  const char* file;
  std::optional<Limit> State::*member;
};

constexpr Number v1_numbers[] = {{"memory.usage_in_bytes", &State::usage},
                                 {"memory.max_usage_in_bytes", &State::peak},
                                 {"memory.memsw.usage_in_bytes", &State::memsw_usage},
                                 {"memory.swappiness", &State::swappiness},
                                 {"memory.failcnt", &State::failcnt}};
constexpr Bound v1_bounds[] = {{"memory.limit_in_bytes", &State::max},
                               {"memory.soft_limit_in_bytes", &State::soft_limit},
                               {"memory.memsw.limit_in_bytes", &State::memsw_max}};
constexpr Number v2_numbers[] = {{"memory.current", &State::usage},
                                 {"memory.peak", &State::peak},
                                 {"memory.swap.current", &State::swap_usage}};
constexpr Bound v2_bounds[] = {
    {"memory.max", &State::max},           {"memory.high", &State::high},
    {"memory.low", &State::low},           {"memory.min", &State::min},
    {"memory.swap.max", &State::swap_max}, {"memory.swap.high", &State::swap_high}};

template <std::size_t N, std::size_t M>
Status read_all(ValueFiles& files, const Number (&numbers)[N], const Bound (&bounds)[M],
                State& state) {
  for (const Number& number : numbers) {
    if (auto status = read_number(files, number.file, state.*number.member); !status) return status;
  }
  for (const Bound& bound : bounds) {
    if (auto status = read_limit(files, bound.file, state.*bound.member); !status) return status;
  }
  return {};
}

Status read_oom_control(ValueFiles& files, State& state) {
  const auto text = files.read("memory.oom_control");
  if (!text) return fail(text.error());
  if (!*text) return {};
  const auto disabled = parse::value_of(**text, "oom_kill_disable");
  const auto under = parse::value_of(**text, "under_oom");
  if (!disabled) return malformed(files.group(), "memory.oom_control", **text);
  state.oom_kill = *disabled == 0;
  if (under) state.under_oom = *under != 0;
  return {};
}

Status read_oom_group(ValueFiles& files, State& state) {
  std::optional<std::uint64_t> number;
  if (auto status = read_number(files, "memory.oom.group", number); !status) return status;
  if (number) state.oom_group = *number != 0;
  return {};
}

Result<State> read_state(ValueFiles& files) {
  const auto place = files.group().place("memory");
  if (!place) return fail(place.error());
  State state;
  state.version = (*place)->hierarchy->version;
  const bool v1 = state.version == Version::v1;
  auto status = v1 ? read_all(files, v1_numbers, v1_bounds, state)
                   : read_all(files, v2_numbers, v2_bounds, state);
  if (status) status = v1 ? read_oom_control(files, state) : read_oom_group(files, state);
  if (!status) return fail(status.error());
  return state;
}

Result<std::vector<settings::Setting>> plan_with(ValueFiles& files, const Change& wanted) {
  const auto now = read_state(files);
  if (!now) return fail(now.error());
  auto settings = memory::plan(*now, wanted);
  if (!settings) settings.error().path = files.group().path();
  return settings;
}

std::string bytes_text(const std::optional<std::uint64_t>& bytes) {
  return bytes ? std::to_string(*bytes) + " bytes" : "unknown";
}

std::string limit_text(const Limit& limit) {
  return limit.bytes ? bytes_text(limit.bytes) : "none";
}

Rule limit_rule(const Group& group, const std::string& file, int reason, const State& now) {
  const bool memsw = parse::starts_with(file, "memory.memsw.");
  if (reason == EBUSY) {
    return {"the memory in use, " + bytes_text(memsw ? now.memsw_usage : now.usage) +
                ", cannot be reclaimed to below that",
            "anonymous memory without swap, tmpfs and locked pages cannot be reclaimed"};
  }
  if (reason == EINVAL && group.path() == "/") {
    return {"the root cannot be limited", "limit the cgroups below it"};
  }
  const bool other_limits = now.max && now.memsw_max && (memsw || now.memsw_max->bytes);
  if (reason == EINVAL && other_limits) {
    return {"the limit of memory (" + limit_text(*now.max) +
                ") would be above that of memory and swap together (" + limit_text(*now.memsw_max) +
                ")",
            ""};
  }
  return {};
}

/// The file that starts an action, and a hint for kernels without the file.
struct Door {
  const char* file;
  const char* hint;
};

Door door(Action action) {
  switch (action) {
    case Action::reclaim:
      return {"memory.reclaim", "it needs cgroup v2 and Linux 5.19; v1 has memory.force_empty"};
    case Action::force_empty:
      return {"memory.force_empty", "v2 has memory.reclaim instead"};
    case Action::reset_peak:
      return {"memory.max_usage_in_bytes", "on v2 a reset affects one reader only"};
    case Action::reset_failcnt:
      return {"memory.failcnt", "on v2 compare two readings of memory.events"};
  }
  return {};
}

}  // namespace

Result<State> Controller::state() const {
  ValueFiles files(*group_, for_reading);
  return read_state(files);
}

Result<std::vector<settings::Setting>> Controller::plan(const Change& wanted) const {
  ValueFiles files(*group_, for_reading);
  return plan_with(files, wanted);
}

Result<std::vector<settings::Written>> Controller::set(const Change& wanted) const {
  ValueFiles files(*group_, for_writing);
  const auto settings = plan_with(files, wanted);
  if (!settings) return fail(settings.error());
  auto written = files.apply(*settings);
  if (!written) return fail(explain(std::move(written.error())));
  return written;
}

Error Controller::explain(Error error) const {
  const std::string file = cgctl::detail::file_of(error);
  const auto now = state();
  if (!now || error.kind != errc::system) return error;
  Rule rule;
  if (file == "memory.limit_in_bytes" || file == "memory.memsw.limit_in_bytes") {
    rule = limit_rule(*group_, file, error.os_errno, *now);
  } else if (file == "memory.swappiness" && error.os_errno == EINVAL) {
    rule = {"the swappiness is out of range", "0 to 100, to 200 since Linux 5.8"};
  } else if (group_->path() == "/" && error.os_errno == EINVAL) {
    rule = {"the root has no such setting", "set it for the cgroups below it"};
  }
  return cgctl::detail::explained(std::move(error), std::move(rule));
}

Result<std::uint64_t> Controller::usage() const {
  const auto place = group_->place("memory");
  if (!place) return fail(place.error());
  const bool v1 = (*place)->hierarchy->version == Version::v1;
  const char* const file = v1 ? "memory.usage_in_bytes" : "memory.current";
  ValueFiles files(*group_, for_reading);
  std::optional<std::uint64_t> bytes;
  if (auto status = read_number(files, file, bytes); !status) return fail(status.error());
  return bytes.value_or(0);
}

Status Controller::check(Action action) const {
  auto file = group_->open_file(door(action).file, O_WRONLY);
  if (file) return {};
  if (file.error().kind == errc::unsupported) file.error().hint = door(action).hint;
  return fail(std::move(file.error()));
}

Status Controller::act(Action action, const std::string& text) const {
  auto status = group_->write(door(action).file, text);
  if (!status && status.error().kind == errc::unsupported) status.error().hint = door(action).hint;
  return status;
}

Result<Reclaimed> Controller::give_back(Action action, const std::string& text) const {
  const auto before = usage();
  if (!before) return fail(before.error());
  const auto status = act(action, text);
  const bool partly = !status && status.error().os_errno == EAGAIN;
  if (!status && !partly) return fail(status.error());
  const auto after = usage();
  if (!after) return fail(after.error());
  return Reclaimed{*before, *after, !partly};
}

Result<Reclaimed> Controller::reclaim(std::uint64_t bytes) const {
  return give_back(Action::reclaim, std::to_string(bytes));
}

Result<Reclaimed> Controller::force_empty() const { return give_back(Action::force_empty, "0"); }

Status Controller::reset_peak() const { return act(Action::reset_peak, "0"); }
Status Controller::reset_failcnt() const { return act(Action::reset_failcnt, "0"); }

}  // namespace cgctl::memory
