// SPDX-FileCopyrightText: The cgctl authors
// SPDX-License-Identifier: MIT
#include <algorithm>
#include <cerrno>
#include <cstddef>
#include <optional>
#include <string_view>

#include "cgctl/cpu.hpp"
#include "cgctl/filesystem.hpp"
#include "cgctl/memory.hpp"
#include "cgctl/parse.hpp"
#include "cgctl/settings.hpp"
#include "group/kernel_files.hpp"
#include "settings/transaction.hpp"
#include "settings/values.hpp"
#include "tree/conversion.hpp"

namespace cgctl::settings {
namespace {

/// Returns the rule that a value breaks if it is invalid for its file, else an empty rule.
detail::Rule value_rule(const Setting& refused, Version version) {
  const auto wanted = detail::wanted_of({refused}, version);
  if (wanted || wanted.error().kind != errc::invalid_argument) return {};
  return {wanted.error().reason, wanted.error().hint};
}

/// Returns the hint of an error without the one that its errno has everywhere.
std::string without_usual_hint(const Error& error) {
  constexpr std::string_view gap = "; ";
  const std::string usual = fs::system_error("set", error.path, error.os_errno).hint;
  if (!parse::starts_with(error.hint, usual)) return error.hint;
  std::string rest = error.hint.substr(usual.size());
  if (parse::starts_with(rest, gap)) rest.erase(0, gap.size());
  return rest;
}

/// Returns the rule behind a refusal of cpuset.cpus or cpuset.mems (cgroup-v1/cpusets.rst,
/// cgroup-v2.rst).
detail::Rule cpuset_rule(const Setting& asked, int os_errno) {
  const std::string list = "'" + asked.value + "'";
  switch (os_errno) {
    case EACCES:
      return {list + " is not a part of the parent cgroup's",
              "set " + asked.file + " of the parent first: it is empty in a new cgroup"};
    case EBUSY:
      return {"a cgroup below has more than " + list, "lower that cgroup's as well"};
    case ENOSPC:
      return {"processes in it would be left without a CPU or a memory node",
              "name at least one CPU and one node, or move the processes first"};
    case EINVAL:
    case ERANGE:
      return {list +
                  " is not a list of CPUs or nodes that the machine has, or it overlaps "
                  "the exclusive ones of another cgroup",
              "see /sys/devices/system/cpu/online and /sys/devices/system/node/online"};
    default:
      return {};
  }
}

/// Returns the rule behind a refusal of a file with a line for each device or resource.
detail::Rule keyed_rule(const Setting& asked, int os_errno) {
  if (os_errno == ENODEV) {
    return {"'" + asked.value + "' names a device or resource that this host lacks",
            "block devices are listed with their numbers in /proc/partitions; a partition has no "
            "limits of its own"};
  }
  const bool io = asked.file == "io.max" || parse::starts_with(asked.file, "blkio.throttle.");
  if (io && (os_errno == EINVAL || os_errno == ERANGE)) {
    return {"'" + asked.value + "' is not a device and its limits",
            asked.file == "io.max" ? "such as 8:0 rbps=1048576 wiops=max; no limit may be 0"
                                   : "such as 8:0 1048576; 0 means no limit"};
  }
  return {};
}

/// Returns the rule behind a refusal of a file that no controller of the library converts.
detail::Rule file_rule(const Setting& asked, int os_errno) {
  if (asked.file == "cpuset.cpus" || asked.file == "cpuset.mems") {
    return cpuset_rule(asked, os_errno);
  }
  if (asked.file == "pids.max" && (os_errno == EINVAL || os_errno == ERANGE)) {
    return {"'" + asked.value + "' is not a number of tasks", "0 to 4194304, or max"};
  }
  return detail::kernel_file(asked.file).is_keyed() ? keyed_rule(asked, os_errno) : detail::Rule{};
}

/// Adds the broken rule of the cpu or memory controller, if it is known, to an error of writing
/// these settings: the range, the limit of a cgroup above or below, the memory in use. For other
/// files: what the errno means there. `refused` is the place of the setting that the kernel
/// refused.
Error explain(const Group& group, Error error, const std::vector<Setting>& settings,
              std::optional<std::size_t> refused) {
  const std::string file = detail::file_of(error);
  const auto named = [&](const Setting& one) { return one.file == file; };
  const auto asked = refused ? settings.begin() + static_cast<std::ptrdiff_t>(*refused)
                             : std::find_if(settings.begin(), settings.end(), named);
  const auto home = group.place(std::string_view(file).substr(0, file.find('.')));
  if (asked != settings.end() && home && error.os_errno == EINVAL) {
    auto rule = value_rule(*asked, (*home)->hierarchy->version);
    if (!rule.reason.empty()) return detail::explained(std::move(error), std::move(rule));
  }
  if (refused) {
    auto rule = file_rule(*asked, error.os_errno);
    if (!rule.reason.empty()) {
      if (error.os_errno == ENODEV) error.kind = errc::system;
      if (error.os_errno == EACCES) error.hint = without_usual_hint(error);
      return detail::explained(std::move(error), std::move(rule));
    }
  }
  if (parse::starts_with(file, "memory.")) {
    return memory::Controller{group}.explain(std::move(error));
  }
  const auto place = group.place("cpu");
  if (!parse::starts_with(file, "cpu.") || !place) return error;
  // Settings after the failed one were not written and did not cause the failure.
  if (asked == settings.end()) return error;
  const auto wanted =
      detail::wanted_of({settings.begin(), asked + 1}, (*place)->hierarchy->version);
  return wanted ? cpu::Controller{group}.explain(std::move(error), wanted->cpu) : error;
}

}  // namespace

Result<std::vector<Written>> apply(const Group& group, const std::vector<Setting>& settings) {
  return apply(group, settings, {});
}

Result<std::vector<Written>> apply(const Group& group, const std::vector<Setting>& settings,
                                   const std::function<Status()>& then) {
  bool all_written = false;
  const auto last = [&] {
    all_written = true;
    return then();
  };
  const std::vector<Setting> lines = detail::one_line_each(settings);
  detail::ValueFiles files(group, detail::ValueFiles::For::writing);
  auto written = files.apply(lines, then ? std::function<Status()>(last) : then);
  if (written || all_written) return written;
  return fail(explain(group, std::move(written.error()), lines, files.refused()));
}

}  // namespace cgctl::settings
