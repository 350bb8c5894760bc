// SPDX-FileCopyrightText: The cgctl authors
// SPDX-License-Identifier: MIT
#pragma once

#include <sys/types.h>

#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

#include "cgctl/error.hpp"
#include "cgctl/unique_fd.hpp"

namespace cgctl {

class Group;

enum class Version { v1, v2 };

/// "v1" or "v2".
std::string_view to_string(Version version) noexcept;

/// How a host uses cgroups. In a hybrid host each controller has its own version.
enum class Mode { v1, v2, hybrid };

std::string_view to_string(Mode mode) noexcept;

/// Where the three kernel file systems are seen. Relocate them to look at a host from inside a
/// container, or at a captured tree.
struct Roots {
  std::string cgroup = "/sys/fs/cgroup";
  std::string proc = "/proc";
  std::string sys = "/sys";
};

/// One cgroup hierarchy and the mount it is reached through.
struct Hierarchy {
  Version version = Version::v1;
  std::string mount_point;  ///< as this process reaches it
  std::string mount_root;   ///< the part of the hierarchy that is mounted (mountinfo field 4)
  std::string name;         ///< of a named v1 hierarchy ("systemd"), else empty
  std::vector<std::string>
      controllers;  ///< all that live on it; co-mounted v1 ones share one hierarchy
  /// True when the mount shows the whole hierarchy: its root directory is the hierarchy's root
  /// (inode 1 on a real cgroup file system). False in a cgroup namespace or for a bind mount of a
  /// part.
  bool whole = false;
  UniqueFd directory;  ///< O_PATH descriptor of mount_point

  /// True if the controller is used here; "name=NAME" stands for the v1 hierarchy of that name.
  [[nodiscard]] bool has(std::string_view controller) const noexcept;
};

/// A mounted hierarchy that this process could not open, for any other reason than that it is not
/// there: no permission, say, or no descriptor left.
struct Unreachable {
  Hierarchy hierarchy;  ///< as mountinfo describes it: no directory; of v2 no controllers
  Error error;          ///< why

  /// True if the controller can live on it, which nobody knows of v2.
  [[nodiscard]] bool may_have(std::string_view controller) const noexcept;
};

/// One row of /proc/cgroups (cgroup-v1/cgroups.rst; v1 controllers only since Linux 6.12).
struct SubsystemRow {
  std::string name;
  std::uint32_t hierarchy = 0;  ///< 0: on v2 or not mounted
  std::uint64_t num_cgroups =
      0;  ///< of its hierarchy, removed ones that the kernel still holds included
  bool enabled = false;
};

/// Parses the text of /proc/cgroups; malformed rows are left out.
std::vector<SubsystemRow> parse_proc_cgroups(std::string_view text);

/// One cgroup mount of a mountinfo text (proc_pid_mountinfo(5)), escapes decoded.
struct MountRow {
  Version version = Version::v1;
  dev_t device = 0;  ///< what st_dev is in it
  std::string root;
  std::string mount_point;
  std::vector<std::string> options;  ///< of the super block: for v1 controller names and "name=..."
};

/// The cgroup mounts of a mountinfo text, in its order; other file systems are left out.
std::vector<MountRow> parse_mountinfo(std::string_view text);

/// One row of /proc/PID/cgroup (cgroups(7)).
struct MembershipRow {
  std::vector<std::string> controllers;  ///< empty for v2; "name=systemd" for a named hierarchy
  std::string path;  ///< can begin with "/.." outside the reader's cgroup namespace
};

std::vector<MembershipRow> parse_membership(std::string_view text);

/// The row for a hierarchy, or null.
const MembershipRow* find_row(const std::vector<MembershipRow>& rows,
                              const Hierarchy& hierarchy) noexcept;

/// What the machine has: which controllers, which version each, where each is mounted. A snapshot:
/// mounts made later are not seen. Movable; cheap to keep for the life of a process; safe to share
/// between threads (all const).
class Host {
 public:
  Host(const Host& other) noexcept;
  Host(Host&& other) noexcept;
  Host& operator=(Host other) noexcept;
  ~Host();

  /// Reads mountinfo and /proc/cgroups below `roots`. errc::unsupported when no cgroup file system
  /// is mounted. A hierarchy that cannot be opened is in unreachable(), or is the error when there
  /// is no other. With a cgroup root other than /sys/fs/cgroup only mounts below it count; when
  /// there are none and mountinfo names /sys/fs/cgroup (a captured tree, or /proc of the host seen
  /// from a container) its mount points are looked for below that root.
  [[nodiscard]] static Result<Host> detect(Roots roots = {});

  [[nodiscard]] const Roots& roots() const noexcept;
  [[nodiscard]] Mode mode() const noexcept;
  [[nodiscard]] const std::vector<Hierarchy>& hierarchies() const noexcept;
  /// Mounted hierarchies that could not be opened: nothing is known of their cgroups.
  [[nodiscard]] const std::vector<Unreachable>& unreachable() const noexcept;
  /// The hierarchy a controller lives on, or null, also where it may be on an unreachable one:
  /// require() tells. With several mounts of one hierarchy: the one
  /// that shows it whole.
  [[nodiscard]] const Hierarchy* find(std::string_view controller) const noexcept;
  /// The v2 hierarchy, with or without controllers, or null; null, too, when it is unreachable.
  [[nodiscard]] const Hierarchy* unified() const noexcept;
  /// find(), or an error that says what to do: that of an unreachable hierarchy that may have it.
  [[nodiscard]] Result<const Hierarchy*> require(std::string_view controller) const;

  /// The rows of /proc/cgroups at detection; empty when the file is absent.
  [[nodiscard]] const std::vector<SubsystemRow>& subsystems() const noexcept;
  /// Page size in bytes of the machine looked at: sysconf for the running one, derived from the
  /// captured meminfo and vmstat where /proc is not the kernel's.
  [[nodiscard]] std::uint64_t page_size() const noexcept;
  /// True when `proc` is the running kernel's own procfs and every hierarchy a cgroup file system,
  /// so that what is read belongs together and can be acted on; false for a captured tree.
  [[nodiscard]] bool live() const noexcept;

  /// The path of a cgroup as clean_relative_path() has it. errc::invalid_argument for the path of a
  /// directory such as /sys/fs/cgroup/memory/a: the error names the cgroup, /a.
  [[nodiscard]] Result<std::string> relative_path(std::string_view path) const;

  /// Opens the cgroup `path` ("/kubepods/pod-a", relative to the hierarchies' roots) for reading.
  /// Declared here, defined with Group: include cgctl/group.hpp.
  [[nodiscard]] Result<Group> open(std::string_view path) const;

 private:
  struct State;
  class Finder;
  explicit Host(const State* state) noexcept : state_(state) {}

  const State* state_;  // shared by all copies, the last deletes it; null once moved from
};

}  // namespace cgctl
