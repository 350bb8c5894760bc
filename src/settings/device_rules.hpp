// SPDX-FileCopyrightText: The cgctl authors
// SPDX-License-Identifier: MIT
#pragma once

#include <string>
#include <string_view>
#include <vector>

#include "cgctl/error.hpp"
#include "cgctl/group.hpp"
#include "cgctl/settings.hpp"

/// The rules of the v1 devices controller (cgroup-v1/devices.rst): they are written to two files
/// one by one, and read from a third. Exceptions to "all devices" cannot be read: devices.list then
/// says "a *:* rwm" (devcgroup_seq_show() in security/device_cgroup.c).
namespace cgctl::detail {

/// Whether devices.list reads the same after the rules as before; false where that cannot be told.
bool rules_change_nothing(std::string_view list, const std::vector<settings::Setting>& rules);

/// A devices.list, by cgroup.
struct DeviceList {
  std::string path;
  std::string text;
};

/// Of a cgroup and all below, which a rule for it can narrow; those above first.
Result<std::vector<DeviceList>> device_lists(const Group& group);

/// Makes them read as before; the first error, if any.
Status restore_devices(const Host& host, const std::vector<DeviceList>& before);

}  // namespace cgctl::detail
