// SPDX-FileCopyrightText: The cgctl authors
// SPDX-License-Identifier: MIT
#pragma once

#include <cstddef>
#include <string>
#include <string_view>
#include <vector>

#include "cgctl/cpu.hpp"
#include "cgctl/error.hpp"
#include "cgctl/group.hpp"
#include "cgctl/host.hpp"
#include "cgctl/permissions.hpp"
#include "cgctl/settings.hpp"

/// Captures, plans and applies the settings of many cgroups, all or none.
namespace cgctl::tree {

/// The settings of one controller for one cgroup. Without settings it only says that the cgroup
/// exists in the controller's hierarchy.
struct Section {
  std::string controller;  ///< "memory"; "cgroup" for files of no controller
  /// A file with a line for each device ("io.max") is listed once for each device, or once with a
  /// value of several lines.
  std::vector<settings::Setting> settings;
};

struct Cgroup {
  std::string path;  ///< "/a/b"
  std::vector<Section> sections;
  /// Permissions in the hierarchies of the sections' controllers.
  permissions::Permissions permissions = {};
};

/// Cgroups, each once; a parent comes before its children.
using Tree = std::vector<Cgroup>;

/// Captures the cgroups at `path` and below with the settings that differ from those of a new
/// cgroup. A setting is any readable and writable file of a controller that is no counter, event,
/// trigger or state.
///
/// A value that a new cgroup inherits from its parent (v1 memory.swappiness, memory.oom_control) is
/// left out only if it equals the parent's and the root's. An unknown file, such as a vendor's, is
/// left out if it reads 0, "max" or is empty. Also left out: the root, which has no settings; v1
/// `devices`, whose rules can be written but not read back one by one; the freezer's state;
/// permissions; and cgroups that are removed meanwhile.
[[nodiscard]] Result<Tree> snapshot(const Host& host, std::string_view path);

/// Returns all settings of one cgroup, including those that equal a new cgroup's.
[[nodiscard]] Result<Cgroup> settings_of(const Group& group);

/// One step of a plan: the change to a cgroup or to one of its files.
struct Step {
  enum class Kind {
    create,  ///< make the cgroup, for `controllers`
    change,  ///< change `file` from `before` to `after`
    leave,   ///< nothing to do: `file` is as wanted, or (`file` empty) the cgroup exists
    remove,  ///< remove the cgroup
  };
  Kind kind = Kind::leave;
  std::string path;
  std::vector<std::string> controllers = {};
  std::string file = {};    ///< a file, or "permissions"
  std::string before = {};  ///< empty if the cgroup does not exist yet
  std::string after = {};
  /// The value that the kernel set instead of `after` (clamped or rounded); empty if it is the
  /// same, and in a plan.
  std::string kept = {};
};

std::string_view to_string(Step::Kind kind) noexcept;

struct Options {
  /// The treatment of cgroups that the tree does not name, below those that it names.
  enum class Others { keep, remove };
  Others others = Others::keep;
  cpu::Conversion conversion = cpu::default_conversion;
  /// A descriptor that cancels: once it is readable, no further step starts and the error is
  /// errc::cancelled.
  int stop = -1;
};

struct Plan {
  std::vector<Step> steps;  ///< in the tree's order; removals last
  /// Settings that were converted from the other cgroup version, or left out because they are the
  /// other version's default: "/a: cpu.shares 512 -> cpu.weight 50 (kernel)".
  std::vector<std::string> notes;

  [[nodiscard]] bool changes_nothing() const noexcept;
};

/// Returns the steps that apply() would take, and changes nothing. errc::unsupported for a
/// controller that the host lacks, and for a setting without a counterpart in the host's version of
/// the controller; errc::invalid_argument for an invalid path or value, a cgroup without a section,
/// and a write-only file; EBUSY for a cgroup that would be removed but has tasks.
[[nodiscard]] Result<Plan> plan(const Host& host, const Tree& wanted, const Options& options = {});

/// Makes the cgroups and their missing ancestors and applies the settings: all of it or nothing.
/// Settings that the tree does not name keep their values. If the kernel allows a value only after
/// another (a parent's limit before a child's), the other is written first. Returns the steps
/// taken.
///
/// On failure everything is rolled back: values are restored in reverse order and new cgroups are
/// removed. The error names the cgroup, the file and the kernel's reason; if something could not be
/// restored, the hint names it. Removed cgroups are made again in their hierarchies with owners,
/// modes, settings, device rules, v2 type and freezer state. Exceptions to "all devices" cannot be
/// read (cgroup-v1/devices.rst) and are lost if the cgroup's device rules are rolled back.
[[nodiscard]] Result<Plan> apply(const Host& host, const Tree& wanted, const Options& options = {});

}  // namespace cgctl::tree
