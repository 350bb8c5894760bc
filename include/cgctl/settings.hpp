// SPDX-FileCopyrightText: The cgctl authors
// SPDX-License-Identifier: MIT
#pragma once

#include <functional>
#include <string>
#include <vector>

#include "cgctl/error.hpp"
#include "cgctl/group.hpp"

/// Writes several settings of one cgroup, all or none.
namespace cgctl::settings {

/// One value for one of a cgroup's files.
struct Setting {
  std::string file;   ///< the kernel's file name: "cpu.cfs_quota_us"
  std::string value;  ///< the text to write, without a newline
  /// The text that restores the old value when written. Empty: the text that is known to do this;
  /// for most files of one line, their previous text.
  std::string restore = {};
};

/// The result of one setting. The texts have no final newline.
struct Written {
  std::string file;
  std::string before;  ///< the previous text; empty for a write-only file
  std::string asked;
  /// The text read back: the kernel clamps (cpu.shares) and rounds (memory.limit_in_bytes).
  std::string kept;
};

/// True if `kept` means the same as `asked`, also in another notation: "100M" and "104857600", or
/// "-1" and v1's number for no limit. In a file with a line for each device only the line asked for
/// is compared.
bool is_as_asked(const Written& one);

/// True if apply() could restore the file's old value after writing it.
bool can_be_restored(const Group& group, const Setting& setting);

/// Writes the settings in order and reads each back: all or none. If one fails, the settings before
/// it are restored in reverse order. The error names the setting, the kernel's reason, the broken
/// rule of the cpu or memory controller if it is known (the range, the limit of a cgroup above or
/// below, the current usage) and, if a value could not be restored, the value that remains.
///
/// In a file with a line for each device or resource (io.max, blkio.throttle.*) the line with the
/// same key is restored. A value of several lines is written line by line, with a Written for each.
/// Restoring devices.allow and devices.deny makes devices.list read as before, here and in the
/// cgroups below; exceptions to "all devices" cannot be read and are lost (cgroup-v1/devices.rst).
/// For cpu.idle and cpu.weight.nice the share that they change is restored too.
///
/// Any other file whose old value cannot be restored must be the last setting, else the call fails
/// with errc::invalid_argument. Examples: write-only files (memory.force_empty, cgroup.kill), files
/// that read as several lines, and files that any write resets (memory.max_usage_in_bytes,
/// memory.failcnt, cpuacct.usage).
///
/// The first write happens only after every file was opened and every old value read.
/// errc::vanished if the cgroup is gone, errc::unsupported if it has no such file,
/// errc::invalid_argument for an empty value, which the kernel would never see.
///
/// Each setting is one write(2), which the kernel accepts or refuses as a whole (kernfs,
/// Documentation/admin-guide/cgroup-v2.rst). Other programs can write the same files meanwhile.
[[nodiscard]] Result<std::vector<Written>> apply(const Group& group,
                                                 const std::vector<Setting>& settings);

/// Applies the settings as above and then calls `then` as the last step. If `then` fails, all
/// values are restored and its error is returned.
[[nodiscard]] Result<std::vector<Written>> apply(const Group& group,
                                                 const std::vector<Setting>& settings,
                                                 const std::function<Status()>& then);

}  // namespace cgctl::settings
