// SPDX-FileCopyrightText: The cgctl authors
// SPDX-License-Identifier: MIT
#include "cgctl/pids.hpp"

#include <string>
#include <string_view>

#include "cgctl/parse.hpp"
#include "settings/transaction.hpp"

namespace cgctl::pids {
namespace {

using cgctl::detail::malformed;
using cgctl::detail::ValueFiles;

/// Reads a number; nothing if the kernel has no such file.
Result<std::optional<std::uint64_t>> read_number(ValueFiles& files, std::string_view file) {
  const auto text = files.read(file);
  if (!text) return fail(text.error());
  if (!*text) return std::nullopt;
  const auto number = parse::whole_number(**text);
  if (!number) return malformed(files.group(), file, **text);
  return number;
}

Result<std::optional<Max>> read_max(ValueFiles& files) {
  const auto text = files.read("pids.max");
  if (!text) return fail(text.error());
  if (!*text) return std::nullopt;
  if (**text == "max\n") return Max{};
  const auto number = parse::whole_number(**text);
  if (!number) return malformed(files.group(), "pids.max", **text);
  return Max{number};
}

}  // namespace

Result<State> state(const Group& group) {
  const auto place = group.place("pids");
  if (!place) return fail(place.error());
  ValueFiles files(group, ValueFiles::For::reading);
  State state;
  state.version = (*place)->hierarchy->version;
  const auto tasks = read_number(files, "pids.current");
  if (!tasks) return fail(tasks.error());
  state.tasks = *tasks;
  const auto max = read_max(files);
  if (!max) return fail(max.error());
  state.max = *max;
  const bool is_root = (*place)->hierarchy->whole && group.path() == "/";
  // On v2 the controller may not be enabled for the cgroup.
  if (!state.max && !is_root) return fail(group.read("pids.max").error());
  const auto peak = read_number(files, "pids.peak");
  if (!peak) return fail(peak.error());
  state.peak = *peak;
  const auto events = files.read("pids.events");
  if (!events) return fail(events.error());
  if (*events) state.limit_hits = parse::value_of(**events, "max");
  return state;
}

Result<std::vector<settings::Setting>> plan(const Group& group, const Max& max) {
  const auto place = group.place("pids");
  if (!place) return fail(place.error());
  if ((*place)->hierarchy->whole && group.path() == "/") {
    return fail(Error::make(errc::invalid_argument, "set", group.shown("pids.max"),
                            "the root has no limit of tasks",
                            "limit the cgroups below it, or the machine by kernel.pid_max"));
  }
  if (max.tasks.value_or(0) > greatest_max) {
    return fail(Error::make(errc::invalid_argument, "set", group.shown("pids.max"),
                            std::to_string(*max.tasks) + " is above the kernel's greatest limit",
                            "0 to 4194304, or no limit"));
  }
  return std::vector<settings::Setting>{
      {"pids.max", max.tasks ? std::to_string(*max.tasks) : "max"}};
}

Result<std::vector<settings::Written>> set(const Group& group, const Max& max) {
  const auto settings = plan(group, max);
  if (!settings) return fail(settings.error());
  return settings::apply(group, *settings);
}

}  // namespace cgctl::pids
