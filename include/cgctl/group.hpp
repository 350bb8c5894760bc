// SPDX-FileCopyrightText: The cgctl authors
// SPDX-License-Identifier: MIT
#pragma once

#include <sys/types.h>

#include <chrono>
#include <cstdint>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "cgctl/error.hpp"
#include "cgctl/host.hpp"
#include "cgctl/unique_fd.hpp"

namespace cgctl {

/// The user and group that a cgroup is delegated to.
struct Owner {
  uid_t user;
  gid_t group;
};

/// Options of Group::create().
struct Creation {
  /// Controllers that the cgroup needs: it is made in each hierarchy that has one of them, and on
  /// v2 they are enabled for it. "cgroup" means v2 without a controller. Empty: those of cpu,
  /// cpuacct and memory that the host has.
  std::vector<std::string> controllers;
  /// Delegates the cgroup: the owner of its directory and of the files for delegation
  /// (`cgroup.procs`, `cgroup.threads`, `cgroup.subtree_control`, v1 `tasks`), but not of its
  /// limits (cgroup-v2.rst, "Model of Delegation"). Ancestors that had to be made are not
  /// delegated.
  std::optional<Owner> owner;
};

/// A directory that Group::create() made inside `parent`, or a v2 controller that it enabled there.
struct Made {
  const Hierarchy* hierarchy;  ///< belongs to a Host that outlives this
  std::string parent;          ///< relative to the hierarchy's root
  std::string what;            ///< the directory's name, or the controller
  bool is_directory;
};

/// Undoes these steps as far as possible, the last one first. A step that is gone already counts as
/// undone. Returns the first error: EBUSY if processes or cgroups have entered a directory.
[[nodiscard]] Status unmake(const std::vector<Made>& made);

/// Options of Group::remove().
struct Removal {
  enum class Below {
    refuse,  ///< EBUSY if there are cgroups below
    remove,  ///< remove the cgroups below too, the deepest first
  };
  enum class Tasks {
    refuse,  ///< EBUSY if there are processes
    kill,    ///< send them SIGKILL, see Group::kill()
  };
  enum class Pages {
    leave,  ///< pages still charged leave a zombie behind
    empty,  ///< write pages back and reclaim them first, see Removed::bytes_left
  };
  Below below = Below::refuse;
  Tasks tasks = Tasks::refuse;
  Pages pages = Pages::leave;
  /// Longest time to wait for the kernel: a cgroup stays busy for a moment after its last task
  /// dies.
  std::chrono::milliseconds deadline = std::chrono::seconds(5);
};

struct Removed {
  std::uint64_t directories = 0;  ///< directories removed, in all hierarchies
  std::uint64_t bytes_left = 0;   ///< bytes still charged at the removal, with Pages::empty
};

/// One cgroup: the directories of one path in every hierarchy that has it, held open. Once the
/// cgroup is removed, reads fail with errc::vanished, so that a new cgroup of the same name is
/// never mistaken for it.
///
///     auto group = host->open("/kubepods/pod-a");
///     auto text = group->read("memory.stat");
class Group {
 public:
  /// The directory of this cgroup in one hierarchy.
  struct Place {
    const Hierarchy* hierarchy = nullptr;
    UniqueFd directory;  ///< O_PATH
  };

  /// A hierarchy that may have this cgroup, but in which the cgroup's directory could not be
  /// opened.
  struct Unopened {
    const Hierarchy* hierarchy = nullptr;
    Error error;
  };

  Group(Group&&) noexcept = default;
  Group& operator=(Group&&) noexcept = default;
  Group(const Group&) = delete;
  Group& operator=(const Group&) = delete;
  ~Group() = default;

  /// Opens a cgroup. `path` is relative to the hierarchies' roots, with or without a leading slash,
  /// and names a cgroup, never a file. errc::outside if it leaves the hierarchies ("..", a symbolic
  /// link, another file system mounted inside), errc::vanished (ENOENT) if no hierarchy has it. If
  /// some hierarchies have it and others cannot be opened, the others are in unopened().
  [[nodiscard]] static Result<Group> open(const Host& host, std::string_view path);

  /// Opens a cgroup only in the hierarchies of these controllers (at least one), each of which must
  /// have it. "cgroup" means v2, as in Creation.
  [[nodiscard]] static Result<Group> open(const Host& host, std::string_view path,
                                          const std::vector<std::string>& controllers);

  /// Makes the cgroup and its missing ancestors in every hierarchy that has a wanted controller; on
  /// v2 enables the controllers from the root down to its parent. An existing cgroup is used
  /// unchanged. On failure everything made or enabled is undone. errc::unsupported for a controller
  /// that the host lacks, errc::invalid_argument for the root; otherwise the kernel's errno with
  /// the broken rule: EBUSY (v2: a cgroup above has processes of its own), EOPNOTSUPP (v2:
  /// threaded), EAGAIN (cgroup.max.descendants or cgroup.max.depth), EINVAL (v2 cpu: real-time
  /// tasks outside the root), ENOSPC (too many cgroups).
  [[nodiscard]] static Result<Group> create(const Host& host, std::string_view path,
                                            const Creation& how = {});
  /// Makes the cgroup as above and records in `made` each step, for a caller that may have to undo
  /// it. On failure `made` gets the steps that could not be undone.
  [[nodiscard]] static Result<Group> create(const Host& host, std::string_view path,
                                            const Creation& how, std::vector<Made>& made);

  /// Removes the cgroup from every hierarchy that this object opened. EBUSY, with nothing removed,
  /// if there are processes or cgroups below that `how` refuses; errc::vanished if the cgroup is
  /// gone or another one has taken its place. Pages::empty leaves no zombie, as far as the kernel
  /// can free the pages: sync(2) writes dirty pages back, then `memory.force_empty` (v1) or a
  /// `memory.high` of 0 (v2, restored at once) is used until nothing is charged or it stops
  /// helping. Sleeps between tries; errc::timed_out at the deadline.
  [[nodiscard]] Result<Removed> remove(const Removal& how = {}) const;

  /// "/" or "/a/b".
  [[nodiscard]] const std::string& path() const noexcept { return path_; }
  [[nodiscard]] const std::vector<Place>& places() const noexcept { return places_; }
  [[nodiscard]] const Host& host() const noexcept { return host_; }
  /// Returns the hierarchies that may have this cgroup but in which it could not be opened; usually
  /// none.
  [[nodiscard]] const std::vector<Unopened>& unopened() const noexcept { return unopened_; }
  /// Fails with the error of the first of unopened(), if there is one. Operations that must reach
  /// the cgroup in every hierarchy check this first: attach(), kill(), remove(), children(),
  /// processes(), tree::snapshot().
  [[nodiscard]] Status require_all() const;

  /// Returns the directory of this cgroup in the hierarchy of a controller ("memory", "cpu").
  /// errc::unsupported if the host lacks the controller, errc::vanished if its hierarchy does not
  /// have the cgroup.
  [[nodiscard]] Result<const Place*> place(std::string_view controller) const;

  /// Opens one of this cgroup's files by the kernel's name ("memory.stat"). The part before the
  /// first dot names the controller; "cgroup." files and "tasks" are taken from the first hierarchy
  /// that has the cgroup, v2 first. errc::unsupported if the cgroup exists but has no such file;
  /// the error of unopened() if the file's hierarchy could not be opened.
  [[nodiscard]] Result<UniqueFd> open_file(std::string_view file, int flags) const;
  /// Reads one of this cgroup's files to its end.
  [[nodiscard]] Result<std::string> read(std::string_view file) const;
  /// Writes one of this cgroup's files in one write(2). For settings use settings::apply(), which
  /// reads the value back.
  [[nodiscard]] Status write(std::string_view file, std::string_view value) const;
  /// Returns the absolute path of one of this cgroup's files, for messages.
  [[nodiscard]] std::string shown(std::string_view file) const;

  /// Returns the names of this cgroup's files of one controller, in the kernel's order.
  [[nodiscard]] Result<std::vector<std::string>> files(std::string_view controller) const;

  /// Returns the names of the cgroups directly below in any hierarchy, sorted, each once.
  [[nodiscard]] Result<std::vector<std::string>> children() const;

  /// Returns the processes in this cgroup in any hierarchy, sorted, without those in cgroups below
  /// and without processes of other PID namespaces. EOPNOTSUPP in a threaded cgroup of v2.
  [[nodiscard]] Result<std::vector<pid_t>> processes() const;
  /// Returns the processes in this cgroup and in all cgroups below. Skips cgroups that are threaded
  /// or removed meanwhile.
  [[nodiscard]] Result<std::vector<pid_t>> processes_below() const;

  /// Moves a process with all its threads into this cgroup, in every hierarchy that has it; 0 means
  /// the caller. On failure the process is moved back. ESRCH: no such process; EINVAL (v1 cpu): a
  /// real-time task, and cpu.rt_runtime_us is 0; ENOSPC (v1): cpuset.cpus or cpuset.mems is empty;
  /// EBUSY (v2): controllers are enabled for cgroups below; EOPNOTSUPP (v2): the cgroup is
  /// threaded.
  [[nodiscard]] Status attach(pid_t process) const;
  /// Moves one thread into this cgroup (v1 `tasks`, v2 `cgroup.threads`: only within a threaded
  /// subtree).
  [[nodiscard]] Status attach_thread(pid_t thread) const;

  /// Sends SIGKILL to every process in this cgroup and below, and waits until none is left. Uses
  /// `cgroup.kill` (v2, Linux 5.14); without it, freezes the processes if the freezer has the
  /// cgroup, kills them one by one and thaws them, until there are none. errc::outside if the host
  /// is not live(), EBUSY if the caller itself is in the cgroup, errc::timed_out at the deadline.
  [[nodiscard]] Status kill(std::chrono::milliseconds deadline) const;

 private:
  Group(Host host, std::string path) noexcept;
  [[nodiscard]] static Result<Group> open_in(const Host& host, std::string_view path,
                                             const std::vector<const Hierarchy*>* wanted);
  [[nodiscard]] Result<const Place*> place_of_file(std::string_view file) const;
  [[nodiscard]] Result<const Place*> first_place() const;

  Host host_;
  std::string path_;
  std::vector<Place> places_;
  std::vector<Unopened> unopened_;
};

/// Opens one file in the directory of a place. Tells the two causes of ENOENT apart:
/// errc::unsupported if the cgroup exists but has no such file, errc::vanished if the cgroup is
/// gone.
[[nodiscard]] Result<UniqueFd> open_file_in(const Group::Place& place, std::string_view path,
                                            std::string_view file, int flags);

/// Returns the names of the directories directly inside `directory` (any descriptor of it), sorted.
[[nodiscard]] Result<std::vector<std::string>> child_directories(int directory,
                                                                 std::string_view shown);

/// Adds the paths ("/a", "/a/b", relative to `directory`) of all directories below, at any depth:
/// depth first, each level sorted by name. On failure `out` holds the paths found so far.
[[nodiscard]] Status add_paths_below(int directory, std::string_view shown,
                                     std::vector<std::string>& out);

}  // namespace cgctl
