// SPDX-FileCopyrightText: The cgctl authors
// SPDX-License-Identifier: MIT
#include "cgctl/settings.hpp"

#include <algorithm>

#include "cgctl/cpu.hpp"
#include "cgctl/memory.hpp"
#include "cgctl/parse.hpp"
#include "setting_conversion.hpp"
#include "setting_files.hpp"
#include "value_files.hpp"

namespace cgctl::settings {

bool can_be_restored(const Group& group, const Setting& setting) {
  return detail::ValueFiles(group, detail::ValueFiles::For::writing).can_be_restored(setting);
}

Result<std::vector<Written>> apply(const Group& group, const std::vector<Setting>& settings) {
  return apply(group, settings, {});
}

Result<std::vector<Written>> apply(const Group& group, const std::vector<Setting>& settings,
                                   const std::function<Status()>& then) {
  return detail::ValueFiles(group, detail::ValueFiles::For::writing)
      .apply(detail::one_line_each(settings), then);
}

Error explain(const Group& group, Error error, const std::vector<Setting>& settings) {
  const std::string file = detail::file_of(error);
  if (parse::starts_with(file, "memory.")) {
    return memory::Controller{group}.explain(std::move(error));
  }
  const auto place = group.place("cpu");
  if (!parse::starts_with(file, "cpu.") || !place) return error;
  // Those behind the one that failed had no part in it.
  const auto refused = std::find_if(settings.begin(), settings.end(),
                                    [&](const Setting& one) { return one.file == file; });
  if (refused == settings.end()) return error;
  const auto wanted =
      detail::wanted_of({settings.begin(), refused + 1}, (*place)->hierarchy->version);
  return wanted ? cpu::Controller{group}.explain(std::move(error), wanted->cpu) : error;
}

}  // namespace cgctl::settings
