// SPDX-FileCopyrightText: The cgctl authors
// SPDX-License-Identifier: MIT
#include <fcntl.h>
#include <signal.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <thread>

#include "cgctl/detail/sys.hpp"
#include "cgctl/filesystem.hpp"
#include "cgctl/group.hpp"
#include "cgctl/parse.hpp"
#include "detail/tree_walk.hpp"
#include "group/detail.hpp"

namespace cgctl {
namespace {

using std::chrono::milliseconds;
using std::chrono::steady_clock;

/// Returns the cgroups of a task, to move it back on failure.
Result<std::vector<MembershipRow>> membership(const Host& host, pid_t task) {
  const std::string who = task == 0 ? "self" : std::to_string(task);
  const auto text = fs::read_in_root(host.roots().proc, who + "/cgroup");
  if (text) return parse_membership(*text);
  // There is no such task, or the procfs hides it. The error of the move itself will tell.
  const int reason = text.error().os_errno;
  if (reason == ENOENT || reason == ESRCH) return std::vector<MembershipRow>{};
  return fail(text.error());
}

Status bring_back(const Hierarchy& hierarchy, const std::vector<MembershipRow>& before,
                  const std::string& task, const char* file) {
  const MembershipRow* const row = find_row(before, hierarchy);
  if (row == nullptr || hierarchy.mount_root != "/") {
    return fail(Error::make(errc::incomplete_view, "attach", hierarchy.mount_point,
                            "the task's present cgroup is not visible here"));
  }
  const std::string shown = fs::join(fs::join(hierarchy.mount_point, row->path), file);
  const auto fd =
      fs::open_beneath(hierarchy.directory.get(), fs::join(row->path, file), O_WRONLY, shown);
  if (!fd) return fail(fd.error());
  return fs::write_once(fd->get(), task, shown);
}

Status attach_to(const Group& group, pid_t task, const char* kind, const char* v1_file,
                 const char* v2_file) {
  const std::string number = std::to_string(task);
  if (task < 0) {
    return fail(Error::make(errc::invalid_argument, "attach", group.path(),
                            "'" + number + "' is no process"));
  }
  if (auto status = group.require_all(); !status) return status;
  const auto before = membership(group.host(), task);
  if (!before) return fail(before.error());
  const auto file_of = [&](const Hierarchy& hierarchy) {
    return hierarchy.version == Version::v2 ? v2_file : v1_file;
  };
  for (const Group::Place& place : group.places()) {
    const Hierarchy& hierarchy = *place.hierarchy;
    const char* const file = file_of(hierarchy);
    const std::string shown = fs::join(fs::join(hierarchy.mount_point, group.path()), file);
    Status status;
    if (const auto fd = open_file_in(place, group.path(), file, O_WRONLY); !fd) {
      status = fail(fd.error());
    } else {
      status = fs::write_once(fd->get(), number, shown);
    }
    if (status) continue;
    std::string left;
    for (const Group::Place& done : group.places()) {
      if (&done == &place) break;
      if (const auto back = bring_back(*done.hierarchy, *before, number, file_of(*done.hierarchy));
          !back && back.error().os_errno != ESRCH && left.empty()) {
        left = back.error().message();
      }
    }
    Error error =
        detail::attach_error(std::move(status.error()), kind + (" " + number), hierarchy.version);
    if (!left.empty()) {
      error.hint += (error.hint.empty() ? "" : "; ") + ("it could not be moved back: " + left);
    }
    return fail(std::move(error));
  }
  return {};
}

/// Thaws each cgroup below one of the v1 freezer: each has its own state, and a frozen process does
/// not end (cgroup-v1/freezer-subsystem.rst). On v2 SIGKILL ends frozen processes too.
void thaw_below(const Group::Place& top) {
  std::vector<std::string> paths = {"."};
  while (!paths.empty()) {
    const std::string path = std::move(paths.back());
    paths.pop_back();
    const auto directory = fs::open_beneath(top.directory.get(), path, O_PATH | O_DIRECTORY, path);
    if (!directory) continue;
    if (path != ".") {
      const auto state = fs::open_beneath(directory->get(), "freezer.state", O_WRONLY, path);
      if (state) (void)fs::write_once(state->get(), "THAWED", path);
    }
    const auto names = child_directories(directory->get(), path);
    if (!names) continue;
    for (const std::string& name : *names) paths.push_back(fs::join(path, name));
  }
}

/// Freezes a cgroup of v1 or v2 if the host can, and thaws it and all below on destruction.
class Frozen {
 public:
  explicit Frozen(const Group& group) : group_(group) {
    const auto freezer = group.place("freezer");
    const bool v1 = freezer.has_value();
    if (v1) v1_freezer_ = *freezer;
    file_ = v1 ? "freezer.state" : "cgroup.freeze";
    thaw_ = v1 ? "THAWED" : "0";
    (void)group.write(file_, v1 ? "FROZEN" : "1");
  }
  Frozen(const Frozen&) = delete;
  Frozen& operator=(const Frozen&) = delete;
  ~Frozen() {
    (void)group_.write(file_, thaw_);
    if (v1_freezer_ != nullptr) thaw_below(*v1_freezer_);
  }

 private:
  const Group& group_;
  const Group::Place* v1_freezer_ = nullptr;
  const char* file_;
  const char* thaw_;
};

Error hidden_processes(const std::string& path) {
  return {errc::system,
          EBUSY,
          "kill",
          path,
          "processes of another PID namespace are in it, which cannot be named from here",
          "end them from the PID namespace that has them"};
}

Error still_there(const std::string& path, pid_t process) {
  const std::string number = std::to_string(process);
  return Error::make(
      errc::timed_out, "kill", path, "process " + number + " is still there",
      "no signal ends a process that waits for a device (state D in ps) or, on v1, one in a "
      "frozen cgroup: see /proc/" +
          number + "/cgroup");
}

/// Sorts the processes and removes duplicates and those of other PID namespaces.
std::vector<pid_t> each_once(std::vector<pid_t> processes) {
  std::sort(processes.begin(), processes.end());
  processes.erase(std::unique(processes.begin(), processes.end()), processes.end());
  processes.erase(std::remove(processes.begin(), processes.end(), 0), processes.end());
  return processes;
}

/// Adds the processes that a cgroup.procs lists.
Status add_processes(int directory, std::string_view file, std::string_view shown,
                     std::vector<pid_t>& out, int open_flags = 0) {
  const auto text = fs::read_beneath(directory, file, shown, open_flags);
  if (!text) return fail(text.error());
  for (std::string_view rest = *text; !rest.empty();) {
    const auto number = parse::whole_number(parse::line(rest));
    if (number) out.push_back(static_cast<pid_t>(*number));
  }
  return {};
}

Error own_process(const Group& group) {
  return {errc::system,
          EBUSY,
          "kill",
          group.path(),
          "the calling process is in it",
          "move it elsewhere first"};
}

}  // namespace

Error detail::attach_error(Error error, const std::string& task, Version version) {
  error.operation = "attach";
  const auto explain = [&](std::string reason, const char* hint) {
    error.reason = std::move(reason);
    error.hint = hint;
  };
  switch (error.os_errno) {
    case ESRCH:
      explain("there is no " + task, "it may have ended; see /proc");
      break;
    case EINVAL:
      explain("the kernel refuses to move " + task + " here",
              "a real-time task needs cpu.rt_runtime_us above 0 in this cgroup (v1 cpu); a kernel "
              "thread cannot be moved");
      break;
    case ENOSPC:
      explain("cpuset.cpus or cpuset.mems of this cgroup is empty",
              "set both before moving anything into it");
      break;
    case EBUSY:
      if (version == Version::v2) {
        explain("controllers are enabled for the cgroups below it, so it cannot have processes",
                "move the process into a cgroup below, or empty cgroup.subtree_control");
      }
      break;
    case EOPNOTSUPP:
      explain("this cgroup is threaded, or below a threaded one", "see its cgroup.type");
      break;
    default:
      break;
  }
  return error;
}

namespace detail {

Result<std::vector<pid_t>> processes_in(int directory, std::string_view shown, int open_flags) {
  std::vector<pid_t> found;
  if (auto status = add_processes(directory, "cgroup.procs", shown, found, open_flags); !status) {
    return fail(status.error());
  }
  return found;
}

Status add_processes_below(int directory, const std::string& shown, std::vector<pid_t>& out,
                           int open_flags) {
  // ENOENT, ENODEV: removed meanwhile. EOPNOTSUPP: threaded; its processes are listed in its
  // domain.
  const auto passed_by = [](const Status& status) {
    const Error& error = status.error();
    return error.kind == errc::vanished || error.os_errno == ENOENT || error.os_errno == EOPNOTSUPP;
  };
  auto own = add_processes(directory, "cgroup.procs", shown, out, open_flags);
  if (!own && !passed_by(own)) return own;
  auto walked = each_below(directory, shown, [&](const Step& step) -> Status {
    auto status =
        add_processes(step.parent, step.name + std::string("/cgroup.procs"), {}, out, open_flags);
    if (status || passed_by(status)) return {};
    status.error().path = fs::join(shown, step.path);
    return status;
  });
  return walked || passed_by(walked) ? Status{} : walked;
}

}  // namespace detail

Result<std::vector<pid_t>> Group::processes() const {
  if (auto status = require_all(); !status) return fail(status.error());
  std::vector<pid_t> all;
  for (const Place& place : places_) {
    const auto found =
        detail::processes_in(place.directory.get(), fs::join(place.hierarchy->mount_point, path_),
                             place.hierarchy->open_flags);
    if (!found) return fail(found.error());
    all.insert(all.end(), found->begin(), found->end());
  }
  return each_once(std::move(all));
}

Result<std::vector<pid_t>> Group::processes_below() const {
  std::vector<pid_t> all;
  for (const Place& place : places_) {
    const std::string shown = fs::join(place.hierarchy->mount_point, path_);
    if (auto status = detail::add_processes_below(place.directory.get(), shown, all,
                                                  place.hierarchy->open_flags);
        !status) {
      return fail(status.error());
    }
  }
  return each_once(std::move(all));
}

Status Group::attach(pid_t process) const {
  return attach_to(*this, process, "process", "cgroup.procs", "cgroup.procs");
}

Status Group::attach_thread(pid_t thread) const {
  return attach_to(*this, thread, "thread", "tasks", "cgroup.threads");
}

Status Group::kill(milliseconds deadline) const {
  // In a captured tree, cgroup.procs names processes of another machine or another time.
  if (!host_.live()) {
    return fail(Error::make(errc::outside, "kill", path_, "not a cgroup of the running kernel",
                            "nothing was done; check the root directories given"));
  }
  if (auto status = require_all(); !status) return status;
  const auto end = steady_clock::now() + deadline;
  const auto all = [this]() -> Result<std::vector<pid_t>> {
    std::vector<pid_t> found;
    for (const Place& place : places_) {
      const std::string shown = fs::join(place.hierarchy->mount_point, path_);
      auto status = detail::add_processes_below(place.directory.get(), shown, found);
      if (!status) return fail(status.error());
    }
    return found;
  };
  for (milliseconds pause(1);; pause = std::min(pause * 2, milliseconds(50))) {
    auto found = all();
    if (!found) return fail(found.error());
    if (found->empty()) return {};
    if (std::find(found->begin(), found->end(), ::getpid()) != found->end()) {
      return fail(own_process(*this));
    }
    const bool at_once = places_.size() == 1 && write("cgroup.kill", "1").has_value();
    const auto named =
        std::find_if(found->begin(), found->end(), [](pid_t one) { return one != 0; });
    if (!at_once && named == found->end()) return fail(hidden_processes(path_));
    if (steady_clock::now() >= end)
      return fail(still_there(path_, named == found->end() ? 0 : *named));
    if (!at_once) {
      const Frozen frozen(*this);
      found = all();
      if (!found) return fail(found.error());
      for (const pid_t process : *found) {
        if (process != 0) ::kill(process, SIGKILL);
      }
    }
    std::this_thread::sleep_for(pause);
  }
}

}  // namespace cgctl
