// SPDX-FileCopyrightText: The cgctl authors
// SPDX-License-Identifier: MIT
#include "cgctl/systemd.hpp"

namespace cgctl::systemd {
namespace {

Error absent(const std::string& unit) {
  return Error::make(errc::unsupported, "start", unit, "this build cannot speak to systemd",
                     "build cgctl with -DCGCTL_SYSTEMD=ON");
}

}  // namespace

bool is_available() noexcept { return false; }

Result<Unit> start_scope(const Scope& scope, int /*stop*/) { return fail(absent(scope.name)); }

Result<Unit> start_slice(const std::string& name, const std::vector<Property>& /*properties*/,
                         int /*stop*/) {
  return fail(absent(name));
}

}  // namespace cgctl::systemd
