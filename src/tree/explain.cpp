// SPDX-FileCopyrightText: The cgctl authors
// SPDX-License-Identifier: MIT
#include <algorithm>
#include <cerrno>

#include "cgctl/cpu.hpp"
#include "cgctl/memory.hpp"
#include "cgctl/parse.hpp"
#include "cgctl/settings.hpp"
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

/// Adds the broken rule of the cpu or memory controller, if it is known, to an error of writing
/// these settings: the range, the limit of a cgroup above or below, the memory in use.
Error explain(const Group& group, Error error, const std::vector<Setting>& settings) {
  const std::string file = detail::file_of(error);
  const auto named = [&](const Setting& one) { return one.file == file; };
  const auto asked = std::find_if(settings.begin(), settings.end(), named);
  const auto home = group.place(std::string_view(file).substr(0, file.find('.')));
  if (asked != settings.end() && home && error.os_errno == EINVAL) {
    auto rule = value_rule(*asked, (*home)->hierarchy->version);
    if (!rule.reason.empty()) return detail::explained(std::move(error), std::move(rule));
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
  auto written =
      detail::ValueFiles(group, detail::ValueFiles::For::writing)
          .apply(detail::one_line_each(settings), then ? std::function<Status()>(last) : then);
  if (written || all_written) return written;
  return fail(explain(group, std::move(written.error()), settings));
}

}  // namespace cgctl::settings
