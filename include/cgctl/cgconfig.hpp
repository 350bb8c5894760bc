// SPDX-FileCopyrightText: The cgctl authors
// SPDX-License-Identifier: MIT
#pragma once

#include <string>
#include <string_view>
#include <vector>

#include "cgctl/error.hpp"
#include "cgctl/tree.hpp"

/// Trees as the text of cgconfig.conf(5), the configuration of libcgroup:
///
///     group batch/night {
///             cpu {
///                     cpu.shares = 512;
///             }
///     }
namespace cgctl::cgconfig {

struct Configuration {
  tree::Tree tree;
  /// Sections that were read and say nothing about cgroups of this tree: "line 3: mount".
  std::vector<std::string> passed_over;
};

/// Reads such a text; `shown` is its name in errors. `mount` sections are passed over, since
/// hierarchies are used where they are mounted, and so are `template` sections, which
/// cgclassify(1) and cgrulesengd(8) use, and `systemd` sections, which say where libcgroup's own
/// tools work: paths here begin at the hierarchies' roots. A cgroup that is named twice has the
/// settings of both. Users and groups of `perm` sections are looked up in /etc/passwd and
/// /etc/group; a `default` section is for the cgroups without one.
///
/// errc::malformed with line and column, counted from 1, for what is not such a text (columns count
/// bytes), for a path that leaves the hierarchies and for a setting named twice unless it is one
/// for a device. errc::unsupported for a `namespace` section.
[[nodiscard]] Result<Configuration> parse(std::string_view text, std::string_view shown);

/// Writes such a text, as libcgroup 2.0.2 loads it: a file with a line for each device once, with
/// all lines as its value; without "cgroup" sections, for which it refuses the whole text.
/// errc::invalid_argument for what it cannot hold: a name or value with a double quote or, but for
/// those lines, a newline.
[[nodiscard]] Result<std::string> format(const tree::Tree& tree);

/// The cgroups that format() leaves out, or "cgroup" sections of: what is of v2 alone and of no
/// controller of it.
std::vector<std::string> left_out(const tree::Tree& tree);

}  // namespace cgctl::cgconfig
