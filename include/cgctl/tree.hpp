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

/// The settings of many cgroups as one: written down, planned, and brought about as a whole.
namespace cgctl::tree {

/// What one controller is told about one cgroup. Without settings: the cgroup exists in the
/// controller's hierarchy.
struct Section {
  std::string controller;  ///< "memory"; "cgroup" for files of no controller
  /// A file that has a line for each device ("io.max") is named once for each, or once with a value
  /// of as many lines.
  std::vector<settings::Setting> settings;
};

struct Cgroup {
  std::string path;  ///< "/a/b"
  std::vector<Section> sections;
  /// In the hierarchies of those controllers.
  permissions::Permissions permissions = {};
};

/// Each cgroup once; one above another stands before it.
using Tree = std::vector<Cgroup>;

/// The cgroups at `path` and below, with the settings that differ from those of a new cgroup: every
/// file of a controller that can be read and written and is no counter, event, trigger or state.
/// What a new cgroup takes over from the one above (v1 memory.swappiness, memory.oom_control) is
/// left out only where it is as in that one and in the root. A file that is not known here, such as
/// a vendor's, is left out where it says 0, "max" or nothing. The root itself has no settings and
/// is left out. Left out as well: v1 `devices`, whose rules can be written but not read back one by
/// one, the freezer's state, and permissions. Cgroups that are removed meanwhile are left out.
[[nodiscard]] Result<Tree> snapshot(const Host& host, std::string_view path);

/// All settings of one cgroup, those of a new cgroup too.
[[nodiscard]] Result<Cgroup> settings_of(const Group& group);

/// What a plan does to one cgroup or to one of its files.
struct Step {
  enum class Kind {
    create,  ///< the cgroup, for `controllers`
    change,  ///< `file` from `before` to `after`
    leave,   ///< `file` is as wanted, or the cgroup exists (`file` is empty)
    remove,  ///< the cgroup
  };
  Kind kind = Kind::leave;
  std::string path;
  std::vector<std::string> controllers = {};
  std::string file = {};    ///< or "permissions", which are `after` afterwards
  std::string before = {};  ///< empty for a cgroup that is to be created
  std::string after = {};
  /// What the kernel has made of `after`, clamped or rounded; empty where it is the same, and in a
  /// plan.
  std::string kept = {};
};

std::string_view to_string(Step::Kind kind) noexcept;

struct Options {
  /// What becomes of cgroups that the tree does not name, below those that it names.
  enum class Others { keep, remove };
  Others others = Others::keep;
  cpu::Conversion conversion = cpu::default_conversion;
  /// A descriptor: once it is readable, nothing more is begun and the error is errc::cancelled.
  int stop = -1;
};

struct Plan {
  std::vector<Step> steps;  ///< in the order of the tree; removals last
  /// What was converted from the other cgroup version or left out because it is the other
  /// version's default: "/a: cpu.shares 512 -> cpu.weight 50 (kernel)".
  std::vector<std::string> notes;

  [[nodiscard]] bool changes_nothing() const noexcept;
};

/// What apply() would do. Touches nothing. errc::unsupported for a controller that the host lacks,
/// and for a setting that its version of the controller has no counterpart of;
/// errc::invalid_argument for a path or a value that is none, for a cgroup without a section, and
/// for a file that can only be written; EBUSY for a cgroup to be removed that has tasks.
[[nodiscard]] Result<Plan> plan(const Host& host, const Tree& wanted, const Options& options = {});

/// Makes the cgroups, their ancestors where they are missing, and the settings so: all of it or
/// none. What the tree does not name keeps its value. Where the kernel allows a value only after
/// another one (a limit above before one below), that one is written first. When something fails,
/// everything written gets its old value back, in reverse order, what was made is removed, and the
/// error names the cgroup, the file and the kernel's reason; if something could not be brought back
/// the hint says what. Cgroups that were removed come back in their hierarchies with owners, modes,
/// settings, device rules, v2 type and freezer state. Exceptions to "all devices" cannot be read
/// (cgroup-v1/devices.rst) and are lost where rules for the cgroup are taken back. Returns what was
/// done.
[[nodiscard]] Result<Plan> apply(const Host& host, const Tree& wanted, const Options& options = {});

}  // namespace cgctl::tree
