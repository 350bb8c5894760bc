// SPDX-FileCopyrightText: The cgctl authors
// SPDX-License-Identifier: MIT
#include "cgctl/settings.hpp"

#include "value_files.hpp"

namespace cgctl::settings {

Result<std::vector<Written>> apply(const Group& group, const std::vector<Setting>& settings) {
  return detail::ValueFiles(group, detail::ValueFiles::For::writing).apply(settings);
}

}  // namespace cgctl::settings
