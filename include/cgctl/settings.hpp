// SPDX-FileCopyrightText: The cgctl authors
// SPDX-License-Identifier: MIT
#pragma once

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
  /// What brings the old value back. Empty: the text that the file has before, which the kernel
  /// takes back for every file of one line that reads as it is written.
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

/// Writes the settings in their order and reads each back: all or none. When one fails, those
/// before it get their old values back, in the reverse order, and the error names the setting, the
/// kernel's reason and, if a value could not be brought back, which one is left how.
///
/// A file whose old value cannot be brought back (one that can only be written, such as
/// memory.force_empty or cgroup.kill, or one that reads as several lines) is refused with
/// errc::invalid_argument unless it is the last setting: then all others are in place when it is
/// written. Nothing is written before every file was opened and every old value read.
/// errc::vanished when the cgroup is gone, errc::unsupported when it has no such file.
///
/// One write(2) a setting: the kernel takes or refuses each whole (kernfs,
/// Documentation/admin-guide/cgroup-v2.rst). Others who write the same files meanwhile are not kept
/// out.
Result<std::vector<Written>> apply(const Group& group, const std::vector<Setting>& settings);

}  // namespace cgctl::settings
