// SPDX-FileCopyrightText: The cgctl authors
// SPDX-License-Identifier: MIT
#include "cgctl/settings.hpp"

#include "settings/transaction.hpp"
#include "settings/values.hpp"

namespace cgctl::settings {

bool is_as_asked(const Written& one) {
  return detail::is_as_asked(detail::kernel_file(one.file), one.asked, one.kept);
}

bool can_be_restored(const Group& group, const Setting& setting) {
  return detail::ValueFiles(group, detail::ValueFiles::For::writing).can_be_restored(setting);
}

}  // namespace cgctl::settings
