// SPDX-FileCopyrightText: The cgctl authors
// SPDX-License-Identifier: MIT
#pragma once

#include <string>
#include <string_view>
#include <vector>

#include "cgctl/error.hpp"
#include "cgctl/group.hpp"
#include "cgctl/settings.hpp"

/// Saves and restores the rules of the v1 devices controller (cgroup-v1/devices.rst), which are
/// written to two files one by one and read from a third. Exceptions to "all devices" cannot be
/// read: devices.list then says "a *:* rwm" (devcgroup_seq_show() in security/device_cgroup.c).
namespace cgctl::detail {

/// True if devices.list surely reads the same after the rules as before.
bool rules_change_nothing(std::string_view list, const std::vector<settings::Setting>& rules);

/// The devices.list of one cgroup.
struct DeviceList {
  std::string path;
  std::string text;
};

/// Returns the lists of a cgroup and of all below, parents first: a rule for the cgroup can also
/// narrow those below.
Result<std::vector<DeviceList>> device_lists(const Group& group);

/// Makes the lists read as before. Returns the first error.
Status restore_devices(const Host& host, const std::vector<DeviceList>& before);

}  // namespace cgctl::detail
