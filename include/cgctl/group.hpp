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

/// Who a cgroup is delegated to.
struct Owner {
  uid_t user;
  gid_t group;
};

/// How a cgroup is made.
struct Creation {
  /// The controllers it is for: it is made in each hierarchy that has one of them, and on v2 they
  /// are enabled for it; "cgroup" is v2 without a controller. Empty: cpu, cpuacct and memory, as
  /// many as the host has.
  std::vector<std::string> controllers;
  /// Delegation: the owner of the cgroup's directory and of the files that hand it on
  /// (`cgroup.procs`, `cgroup.threads`, `cgroup.subtree_control`, v1 `tasks`), not of its limits
  /// (cgroup-v2.rst, "Model of Delegation"). Cgroups above it that had to be made are not
  /// delegated.
  std::optional<Owner> owner;
};

/// A directory that Group::create() made, or a controller of v2 that it enabled, inside `parent`.
struct Made {
  const Hierarchy* hierarchy;  ///< of a Host that outlives it
  std::string parent;          ///< relative to the hierarchy's root
  std::string what;            ///< the directory's name, or the controller
  bool is_directory;
};

/// Undoes it, the last first, as far as possible; what is gone already is undone. The first error,
/// if any: EBUSY where processes or cgroups came into a directory.
[[nodiscard]] Status unmake(const std::vector<Made>& made);

/// How a cgroup is removed.
struct Removal {
  enum class Below {
    refuse,  ///< EBUSY when there are cgroups below
    remove,  ///< those below too, the deepest first
  };
  enum class Tasks {
    refuse,  ///< EBUSY when there are processes
    kill,    ///< SIGKILL to them, see Group::kill()
  };
  enum class Pages {
    leave,  ///< what is still charged pins a zombie
    empty,  ///< written back and reclaimed first, see Removed::bytes_left
  };
  Below below = Below::refuse;
  Tasks tasks = Tasks::refuse;
  Pages pages = Pages::leave;
  /// How long the kernel is given: a cgroup is busy for a moment after its last task has died.
  std::chrono::milliseconds deadline = std::chrono::seconds(5);
};

struct Removed {
  std::uint64_t directories = 0;  ///< of all hierarchies
  std::uint64_t bytes_left =
      0;  ///< pages still charged at the removal, where they were to be freed
};

/// One cgroup: the directories of one path in every hierarchy that has it, held open. A held
/// descriptor goes invalid with its cgroup, so a new cgroup of the same name is never mistaken for
/// it: reads then fail with errc::vanished.
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

  /// A hierarchy that may have this cgroup: its directory there could not be opened.
  struct Unopened {
    const Hierarchy* hierarchy = nullptr;
    Error error;
  };

  Group(Group&&) noexcept = default;
  Group& operator=(Group&&) noexcept = default;
  Group(const Group&) = delete;
  Group& operator=(const Group&) = delete;
  ~Group() = default;

  /// `path` is the cgroup's, never a file's: relative to the hierarchies' roots, a leading slash
  /// allowed. errc::outside when it leaves them ("..", a symbolic link, another file system mounted
  /// inside), errc::vanished (ENOENT) when no hierarchy has it. When some hierarchies have it and
  /// others cannot tell, those are in unopened().
  [[nodiscard]] static Result<Group> open(const Host& host, std::string_view path);

  /// The same, in the hierarchies of these controllers alone, at least one; all of them must have
  /// it. "cgroup" is v2, as in Creation.
  [[nodiscard]] static Result<Group> open(const Host& host, std::string_view path,
                                          const std::vector<std::string>& controllers);

  /// Makes the cgroup, and those above it that are missing, in every hierarchy that has a wanted
  /// controller; on v2 enables the controllers from the root down to its parent. One that exists
  /// already is taken as it is. On failure everything made or enabled is undone.
  /// errc::unsupported for a controller that the host lacks, errc::invalid_argument for the root;
  /// else the kernel's errno with the rule it stands for: EBUSY (v2: a cgroup above has processes
  /// of its own), EOPNOTSUPP (v2: threaded), EAGAIN (cgroup.max.descendants or cgroup.max.depth),
  /// EINVAL (v2 cpu: real-time tasks outside the root), ENOSPC (too many cgroups).
  [[nodiscard]] static Result<Group> create(const Host& host, std::string_view path,
                                            const Creation& how = {});
  /// The same; adds to `made` what it has made, for a caller that may have to undo it, and when it
  /// fails what it could not undo itself.
  [[nodiscard]] static Result<Group> create(const Host& host, std::string_view path,
                                            const Creation& how, std::vector<Made>& made);

  /// Removes the cgroup from every hierarchy that this object has it in. EBUSY, with nothing
  /// removed, when there are processes or cgroups below and `how` does not say what to do with
  /// them; errc::vanished when it is gone, or another cgroup stands in its place. With
  /// Pages::empty no zombie is left behind as far as the kernel can free the pages: dirty ones are
  /// written back by sync(2), then `memory.force_empty` (v1) or a `memory.high` of 0 (v2, taken
  /// back at once) is used until nothing is charged or it no longer helps. Sleeps between tries;
  /// errc::timed_out at the deadline.
  [[nodiscard]] Result<Removed> remove(const Removal& how = {}) const;

  /// "/" or "/a/b".
  [[nodiscard]] const std::string& path() const noexcept { return path_; }
  [[nodiscard]] const std::vector<Place>& places() const noexcept { return places_; }
  [[nodiscard]] const Host& host() const noexcept { return host_; }
  /// The hierarchies that may have this cgroup and did not let it be opened; usually none.
  [[nodiscard]] const std::vector<Unopened>& unopened() const noexcept { return unopened_; }
  /// The error of the first of unopened(), if any. Whatever must reach the cgroup in every
  /// hierarchy that has it asks this before it begins: attach(), kill(), remove(), children(),
  /// processes(), tree::snapshot().
  [[nodiscard]] Status require_all() const;

  /// Where a controller ("memory", "cpu") has this cgroup. errc::unsupported when the host lacks
  /// the controller, errc::vanished when its hierarchy does not have the cgroup.
  [[nodiscard]] Result<const Place*> place(std::string_view controller) const;

  /// Opens one of this cgroup's files by the kernel's name ("memory.stat"); the controller is the
  /// part before the first dot, "cgroup." files and "tasks" are taken from the first hierarchy that
  /// has the cgroup, v2 first. errc::unsupported when the cgroup exists but the kernel has no such
  /// file there; the error of unopened() when that is where it would be.
  [[nodiscard]] Result<UniqueFd> open_file(std::string_view file, int flags) const;
  /// Reads one of this cgroup's files whole.
  [[nodiscard]] Result<std::string> read(std::string_view file) const;
  /// Writes one of this cgroup's files in one write(2). For settings use settings::apply(), which
  /// reads back what the kernel kept.
  [[nodiscard]] Status write(std::string_view file, std::string_view value) const;
  /// The absolute path of one of its files, for messages.
  [[nodiscard]] std::string shown(std::string_view file) const;

  /// The names of its files of one controller, in the kernel's order.
  [[nodiscard]] Result<std::vector<std::string>> files(std::string_view controller) const;

  /// Names of the cgroups directly below, of all hierarchies together, sorted, each once.
  [[nodiscard]] Result<std::vector<std::string>> children() const;

  /// The processes in this cgroup, of all hierarchies together, sorted; not those in cgroups below.
  /// Processes of another PID namespace are left out. EOPNOTSUPP in a threaded cgroup of v2.
  [[nodiscard]] Result<std::vector<pid_t>> processes() const;
  /// The same with those in all cgroups below. A cgroup that is removed meanwhile, or is threaded,
  /// is passed by.
  [[nodiscard]] Result<std::vector<pid_t>> processes_below() const;

  /// Moves a process with all its threads into this cgroup, in every hierarchy that has it; 0 is
  /// the caller. On failure it is moved back where it was. ESRCH: there is no such process; EINVAL
  /// (v1 cpu): a real-time task, and cpu.rt_runtime_us is 0; ENOSPC (v1): cpuset.cpus or
  /// cpuset.mems is empty; EBUSY (v2): controllers are enabled for cgroups below; EOPNOTSUPP (v2):
  /// threaded.
  [[nodiscard]] Status attach(pid_t process) const;
  /// The same for one thread (v1 `tasks`, v2 `cgroup.threads`: only within a threaded subtree).
  [[nodiscard]] Status attach_thread(pid_t thread) const;

  /// Sends SIGKILL to every process in this cgroup and below, and waits until none is left:
  /// `cgroup.kill` (v2, Linux 5.14); else the processes are frozen where the freezer has the
  /// cgroup, killed one by one and thawed, again until there are none. errc::outside when the host
  /// is not live(); EBUSY when the caller itself is in it, errc::timed_out at the deadline.
  [[nodiscard]] Status kill(std::chrono::milliseconds deadline) const;

 private:
  Group(Host host, std::string path) noexcept;
  [[nodiscard]] Result<const Place*> place_of_file(std::string_view file) const;
  [[nodiscard]] Result<const Place*> first_place() const;

  Host host_;
  std::string path_;
  std::vector<Place> places_;
  std::vector<Unopened> unopened_;
};

/// Opens one file in the directory of a place, telling apart what ENOENT can mean:
/// errc::unsupported when the cgroup is there and the kernel has no such file, errc::vanished when
/// the cgroup itself is gone.
[[nodiscard]] Result<UniqueFd> open_file_in(const Group::Place& place, std::string_view path,
                                            std::string_view file, int flags);

/// The names of the directories directly inside `directory` (any descriptor of it), sorted.
[[nodiscard]] Result<std::vector<std::string>> child_directories(int directory,
                                                                 std::string_view shown);

/// Adds the paths ("/a", "/a/b", relative to `directory`) of all directories below, depth first,
/// each level sorted by name, however deep. On failure `out` has those found before.
[[nodiscard]] Status add_paths_below(int directory, std::string_view shown,
                                     std::vector<std::string>& out);

}  // namespace cgctl
