// SPDX-FileCopyrightText: The cgctl authors
// SPDX-License-Identifier: MIT
#include "cgctl/error.hpp"

#include <system_error>

namespace cgctl {

std::string_view to_string(errc kind) noexcept {
  switch (kind) {
    case errc::system:
      return "system";
    case errc::vanished:
      return "vanished";
    case errc::unsupported:
      return "unsupported";
    case errc::malformed:
      return "malformed";
    case errc::truncated:
      return "truncated";
    case errc::invalid_argument:
      return "invalid_argument";
    case errc::outside:
      return "outside";
    case errc::incomplete_view:
      return "incomplete_view";
    case errc::over_budget:
      return "over_budget";
    case errc::busy:
      return "busy";
    case errc::timed_out:
      return "timed_out";
    case errc::cancelled:
      return "cancelled";
  }
  return "unknown";
}

std::string Error::message() const {
  std::string text = operation;
  if (!path.empty()) text.append(" ").append(path);
  text.append(": ");
  if (!reason.empty()) {
    text.append(reason);
  } else if (os_errno != 0) {
    text.append(std::generic_category().message(os_errno));
  } else {
    text.append(to_string(kind));
  }
  if (!hint.empty()) text.append(" (").append(hint).append(")");
  return text;
}

}  // namespace cgctl
