// SPDX-FileCopyrightText: The cgctl authors
// SPDX-License-Identifier: MIT
#pragma once

#include <string>
#include <string_view>
#include <vector>

#include "cgctl/error.hpp"
#include "cgctl/tree.hpp"

/// Reads and writes trees in the format of cgconfig.conf(5), libcgroup's configuration file:
///
///     group batch/night {
///             cpu {
///                     cpu.shares = 512;
///             }
///     }
namespace cgctl::cgconfig {

struct Configuration {
  tree::Tree tree;
  /// Sections that were skipped because they say nothing about this tree's cgroups: "line 3:
  /// mount".
  std::vector<std::string> passed_over;
};

/// Parses a cgconfig.conf; `shown` is its name in errors. Skips three kinds of section: `mount`,
/// because hierarchies are used where they are mounted; `template`, which only cgclassify(1) and
/// cgrulesengd(8) use; and `systemd`, which says where libcgroup's own tools work (paths here begin
/// at the hierarchies' roots). A cgroup that is named twice gets the settings of both sections.
/// Users and groups of `perm` sections are looked up in /etc/passwd and /etc/group; a `default`
/// section applies to cgroups without a `perm` section.
///
/// Errors: errc::malformed with line and column (counted from 1, columns in bytes) for text that is
/// no cgconfig.conf, for a path that leaves the hierarchies, and for a setting named twice, unless
/// the setting is one for a device. errc::unsupported for a `namespace` section.
[[nodiscard]] Result<Configuration> parse(std::string_view text, std::string_view shown);

/// Formats a tree as a cgconfig.conf that libcgroup 2.0.2 loads. A file with a line for each device
/// is written once, with all lines as its value. "cgroup" sections are left out, because libcgroup
/// refuses a whole text that has one. errc::invalid_argument for a name or value with a double
/// quote or, except in the values of such device files, a newline.
[[nodiscard]] Result<std::string> format(const tree::Tree& tree);

/// Returns the cgroups that format() leaves out, whole or in part: cgroups and settings of v2 that
/// belong to no controller.
std::vector<std::string> left_out(const tree::Tree& tree);

}  // namespace cgctl::cgconfig
