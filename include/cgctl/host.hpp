// SPDX-FileCopyrightText: The cgctl authors
// SPDX-License-Identifier: MIT
#pragma once

#include <sys/types.h>

#include <cstddef>
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

/// The cgroup version that a host uses. On a hybrid host the version depends on the controller.
enum class Mode { v1, v2, hybrid };

std::string_view to_string(Mode mode) noexcept;

/// Directories where the three kernel file systems are found. Change them to inspect a host from
/// inside a container, or a captured tree.
struct Roots {
  std::string cgroup = "/sys/fs/cgroup";
  std::string proc = "/proc";
  std::string sys = "/sys";
};

/// One cgroup hierarchy and its mount.
struct Hierarchy {
  Version version = Version::v1;
  std::string mount_point;  ///< path under which this process reaches it
  std::string mount_root;   ///< the part of the hierarchy that is mounted (mountinfo field 4)
  std::string name;         ///< name of a named v1 hierarchy ("systemd"), else empty
  /// Its controllers; co-mounted v1 controllers share one hierarchy.
  std::vector<std::string> controllers;
  /// True if the mount shows the whole hierarchy: its root directory is the hierarchy's root (inode
  /// 1 on a real cgroup file system). False in a cgroup namespace or for a bind mount of a part.
  bool whole = false;
  UniqueFd directory;  ///< O_PATH descriptor of mount_point
  /// Flags to add wherever a file below is opened: fs::no_device in a captured tree, else
  /// fs::on_cgroupfs.
  int open_flags = 0;

  /// True if the controller belongs to this hierarchy; "name=NAME" stands for the v1 hierarchy
  /// named NAME.
  [[nodiscard]] bool has(std::string_view controller) const noexcept;
};

/// A mounted hierarchy that exists but that this process could not open: for example, no permission
/// or no descriptor left.
struct Unreachable {
  Hierarchy hierarchy;  ///< as in mountinfo: without a directory; v2 without controllers
  Error error;          ///< the reason

  /// True if the controller may belong to it: always for v2, whose controllers are then unknown.
  [[nodiscard]] bool may_have(std::string_view controller) const noexcept;
};

/// One row of /proc/cgroups (cgroup-v1/cgroups.rst; v1 controllers only since Linux 6.12).
struct SubsystemRow {
  std::string name;
  std::uint32_t hierarchy = 0;  ///< 0: on v2 or not mounted
  /// Cgroups in its hierarchy, including removed ones that the kernel still holds.
  std::uint64_t num_cgroups = 0;
  bool enabled = false;
};

/// Parses the text of /proc/cgroups. Leaves out malformed rows; `malformed`, if given, is set to
/// their number.
std::vector<SubsystemRow> parse_proc_cgroups(std::string_view text,
                                             std::size_t* malformed = nullptr);

/// One cgroup mount of a mountinfo text (proc_pid_mountinfo(5)), escapes decoded.
struct MountRow {
  Version version = Version::v1;
  dev_t device = 0;  ///< st_dev of the files in it
  std::string root;
  std::string mount_point;
  std::vector<std::string> options;  ///< super block options: on v1 controller names and "name=..."
};

/// Returns the cgroup mounts of a mountinfo text, in its order.
std::vector<MountRow> parse_mountinfo(std::string_view text);

/// One row of /proc/PID/cgroup (cgroups(7)).
struct MembershipRow {
  std::vector<std::string> controllers;  ///< empty for v2; "name=systemd" for a named hierarchy
  std::string path;  ///< begins with "/.." if outside the reader's cgroup namespace
};

std::vector<MembershipRow> parse_membership(std::string_view text);

/// Returns the row for a hierarchy, or null.
const MembershipRow* find_row(const std::vector<MembershipRow>& rows,
                              const Hierarchy& hierarchy) noexcept;

/// The machine's controllers with their versions and mounts. It is a snapshot: later mounts are not
/// seen. Cheap to keep for the life of a process and safe to share between threads (all const).
class Host {
 public:
  Host(const Host& other) noexcept;
  Host(Host&& other) noexcept;
  Host& operator=(Host other) noexcept;
  ~Host();

  /// Reads mountinfo and /proc/cgroups below `roots`. errc::unsupported if no cgroup file system is
  /// mounted. A hierarchy that cannot be opened is listed in unreachable(); if there is no other
  /// hierarchy, its error is returned. With a cgroup root other than /sys/fs/cgroup, only mounts
  /// below that root count. If there are none and mountinfo names /sys/fs/cgroup (a captured tree,
  /// or the host's /proc seen from a container), its mount points are looked for below that root.
  [[nodiscard]] static Result<Host> detect(Roots roots = {});

  [[nodiscard]] const Roots& roots() const noexcept;
  [[nodiscard]] Mode mode() const noexcept;
  [[nodiscard]] const std::vector<Hierarchy>& hierarchies() const noexcept;
  /// Returns the mounted hierarchies that could not be opened and whose cgroups are therefore
  /// unknown.
  [[nodiscard]] const std::vector<Unreachable>& unreachable() const noexcept;
  /// Returns the hierarchy of a controller, or null. Null also if the controller may be on an
  /// unreachable hierarchy: require() tells the two cases apart. If a hierarchy is mounted several
  /// times, the mount that shows it whole is used.
  [[nodiscard]] const Hierarchy* find(std::string_view controller) const noexcept;
  /// Returns the v2 hierarchy, with or without controllers; null if there is none or it is
  /// unreachable.
  [[nodiscard]] const Hierarchy* unified() const noexcept;
  /// Returns find(), or an error with a remedy if that is null: the error of an unreachable
  /// hierarchy that may have the controller, or errc::unsupported.
  [[nodiscard]] Result<const Hierarchy*> require(std::string_view controller) const;

  /// Returns the rows of /proc/cgroups at detection; empty if the file is absent.
  [[nodiscard]] const std::vector<SubsystemRow>& subsystems() const noexcept;
  /// Returns the number of malformed rows of /proc/cgroups, which subsystems() leaves out.
  [[nodiscard]] std::size_t malformed_subsystems() const noexcept;
  /// Returns the page size of the inspected machine in bytes: from sysconf(3) for the running
  /// machine, derived from the captured meminfo and vmstat if /proc is not the kernel's.
  [[nodiscard]] std::uint64_t page_size() const noexcept;
  /// True if `proc` is the running kernel's own procfs and every hierarchy is a cgroup file system:
  /// the figures then belong to this machine, which can be changed. False for a captured tree.
  [[nodiscard]] bool live() const noexcept;

  /// Normalises the path of a cgroup like clean_relative_path(). errc::invalid_argument for a
  /// directory's path such as /sys/fs/cgroup/memory/a; the error names the cgroup, /a.
  [[nodiscard]] Result<std::string> relative_path(std::string_view path) const;

  /// Opens the cgroup `path` ("/kubepods/pod-a", relative to the hierarchies' roots) for reading.
  /// Declared here, defined with Group: include cgctl/group.hpp.
  [[nodiscard]] Result<Group> open(std::string_view path) const;

 private:
  struct State;
  class Finder;
  explicit Host(const State* state) noexcept : state_(state) {}

  const State* state_;  // shared by all copies, deleted by the last one; null once moved from
};

}  // namespace cgctl
