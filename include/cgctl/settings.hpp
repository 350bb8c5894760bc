// SPDX-FileCopyrightText: The cgctl authors
// SPDX-License-Identifier: MIT
#pragma once

#include <functional>
#include <string>
#include <vector>

#include "cgctl/error.hpp"
#include "cgctl/group.hpp"

/// Several values of one cgroup, written as one.
namespace cgctl::settings {

/// One value for one of a cgroup's files.
struct Setting {
  std::string file;   ///< the kernel's name: "cpu.cfs_quota_us"
  std::string value;  ///< what is written, without a newline
  /// What brings the old value back. Empty: what is known to do so, for most files of one line the
  /// text that they have before.
  std::string restore = {};
};

/// What became of one setting. The texts are without their final newline.
struct Written {
  std::string file;
  std::string before;  ///< what the file read before; empty for a file that can only be written
  std::string asked;
  std::string kept;  ///< what it reads afterwards: the kernel clamps (cpu.shares) and rounds
                     ///< (memory.limit_in_bytes)
};

/// True if `kept` is `asked`, in the same or in other words: "100M" and "104857600", "-1" and the
/// number that v1 has for no limit. Of a file with a line for each device the line asked for
/// counts.
bool is_as_asked(const Written& one);

/// Whether apply() could bring back the file's old value after writing it.
bool can_be_restored(const Group& group, const Setting& setting);

/// Writes the settings in their order and reads each back: all or none. When one fails, those
/// before it get their old values back, in the reverse order, and the error names the setting, the
/// kernel's reason, the rule of the cpu or memory controller behind it where one is known (the
/// range, the limit of a cgroup above or below, what is in use) and, if a value could not be
/// brought back, which one is left how.
///
/// Of a file that has a line for each device or resource (io.max, blkio.throttle.*) the line with
/// the same key is brought back; a value of several lines is written line by line, each a Written
/// of its own. After devices.allow and devices.deny devices.list reads as before, here and in the
/// cgroups below; exceptions to "all devices" cannot be read and are lost (cgroup-v1/devices.rst).
///
/// Another file whose old value cannot be brought back (one that can only be written, such as
/// memory.force_empty or cgroup.kill, one that reads as several lines, or one that any write sets
/// back, such as memory.max_usage_in_bytes, memory.failcnt or cpuacct.usage) is refused with
/// errc::invalid_argument unless it is the last setting: then all others are in place when it is
/// written. With cpu.idle and cpu.weight.nice the share is brought back, which they change.
/// Nothing is written before every file was opened and every old value read.
/// errc::vanished when the cgroup is gone, errc::unsupported when it has no such file,
/// errc::invalid_argument for an empty value, which the kernel does not get to see.
///
/// One write(2) a setting: the kernel takes or refuses each whole (kernfs,
/// Documentation/admin-guide/cgroup-v2.rst). Others who write the same files meanwhile are not kept
/// out.
[[nodiscard]] Result<std::vector<Written>> apply(const Group& group,
                                                 const std::vector<Setting>& settings);

/// The same with `then` as the last step: what is to happen only with all values in place. When it
/// fails, all of them get their old values back, and its error is returned.
[[nodiscard]] Result<std::vector<Written>> apply(const Group& group,
                                                 const std::vector<Setting>& settings,
                                                 const std::function<Status()>& then);

}  // namespace cgctl::settings
