// SPDX-FileCopyrightText: The cgctl authors
// SPDX-License-Identifier: MIT
#include <fcntl.h>

#include <algorithm>
#include <array>
#include <cerrno>
#include <iterator>

#include "cgctl/detail/sys.hpp"
#include "cgctl/filesystem.hpp"
#include "cgctl/group.hpp"
#include "cgctl/parse.hpp"
#include "group/detail.hpp"

namespace cgctl {
namespace {

constexpr const char* creation = "create";

Error mkdir_error(std::string shown, int os_errno) {
  Error error = fs::system_error(creation, shown, os_errno);
  if (os_errno == EAGAIN) {
    error.reason = "cgroup.max.descendants or cgroup.max.depth of a cgroup above is reached";
    error.hint = "raise it, or remove cgroups that are no longer needed";
  } else if (os_errno == ENOSPC) {
    error.reason = "the kernel has no room for another cgroup of this hierarchy";
    error.hint = "removed memory cgroups count until they are freed: see zombies::count()";
  } else if (os_errno == EINVAL) {
    error.reason = "the kernel refuses this name";
  }
  return error;
}

Error enable_error(const std::string& shown, const std::string& controller, int os_errno) {
  Error error = fs::system_error(creation, shown, os_errno);
  if (os_errno == EBUSY) {
    error.reason = "it has processes of its own, so " + controller +
                   " cannot be enabled for cgroups below it (cgroup v2)";
    error.hint = "move its processes into a cgroup below it first";
  } else if (os_errno == EOPNOTSUPP) {
    error.reason = controller + " cannot be enabled in a threaded cgroup (cgroup v2)";
    error.hint = "only cpu, cpuset, perf_event and pids can be used there";
  } else if (os_errno == ENOENT) {
    error.reason = controller + " is not in its cgroup.controllers";
    error.hint = "enable it in the cgroup above, or mount it on v2";
  } else if (os_errno == EINVAL && controller == "cpu") {
    error.reason = "cpu cannot be enabled while real-time tasks are outside the root cgroup";
    error.hint = "move them to the root, or make them SCHED_OTHER";
  }
  return error;
}

Status write_control(int directory, const std::string& value, std::string_view shown) {
  const auto file = fs::open_beneath(directory, "cgroup.subtree_control", O_WRONLY, shown);
  if (!file) return fail(file.error());
  return fs::write_once(file->get(), value, shown);
}

/// True if the cgroup is an ordinary one and has processes. Enabling a controller for its children
/// fails with EBUSY. For a controller that supports threads it permanently changes the cgroup's
/// type to "domain threaded" instead, and its other children then accept no process (cgroup-v2.rst,
/// "Threads").
Result<bool> is_occupied_domain(int directory, const std::string& shown) {
  const auto type = fs::read_beneath(directory, "cgroup.type", fs::join(shown, "cgroup.type"));
  // The root has no cgroup.type, nor has any cgroup before Linux 4.14.
  if (!type && type.error().os_errno == ENOENT) return false;
  if (!type) return fail(type.error());
  if (*type != "domain\n") return false;
  const auto processes =
      fs::read_beneath(directory, "cgroup.procs", fs::join(shown, "cgroup.procs"));
  if (!processes) return fail(processes.error());
  return !processes->empty();
}

/// Makes the directories of one path in one hierarchy.
class Maker {
 public:
  Maker(const Hierarchy& hierarchy, std::vector<std::string> controllers)
      : hierarchy_(hierarchy), controllers_(std::move(controllers)) {}

  /// Fails if make() would be refused, or would do harm, because a cgroup on the path has processes
  /// of its own. Writes nothing.
  [[nodiscard]] Status check(std::string_view path) const {
    if (hierarchy_.version != Version::v2 || controllers_.empty()) return {};
    for (std::size_t slash = path.find('/'); slash != std::string_view::npos;
         slash = path.find('/', slash + 1)) {
      const std::string_view above = path.substr(0, slash);
      const std::string shown = fs::join(hierarchy_.mount_point, above);
      const auto directory =
          fs::open_beneath(hierarchy_.directory.get(), above, O_PATH | O_DIRECTORY, shown);
      if (!directory && directory.error().os_errno == ENOENT) return {};
      if (!directory) return fail(directory.error());
      if (auto status = check_enabling(directory->get(), shown); !status) return status;
    }
    return {};
  }

  /// Makes the directories and enables the controllers. On failure `made` still lists every step
  /// taken.
  Status make(std::string_view path, std::vector<Made>& made) {
    auto top = fs::open_beneath(hierarchy_.directory.get(), ".", O_PATH | O_DIRECTORY,
                                hierarchy_.mount_point);
    if (!top) return fail(top.error());
    if (auto status = detail::require_cgroupfs(top->get(), creation, hierarchy_.mount_point);
        !status) {
      return status;
    }
    UniqueFd current = std::move(*top);
    std::string shown = hierarchy_.mount_point;
    std::string parent = ".";
    while (!path.empty()) {
      const std::size_t slash = std::min(path.find('/'), path.size());
      const std::string name(path.substr(0, slash));
      path.remove_prefix(std::min(slash + 1, path.size()));
      if (auto status = enable(current.get(), shown, parent, made); !status) return status;
      shown = fs::join(shown, name);
      const int status = sys::make_directory_at(current.get(), name.c_str(), 0755);
      if (status < 0 && status != -EEXIST) return fail(mkdir_error(shown, -status));
      auto child = fs::open_beneath(current.get(), name, O_PATH | O_DIRECTORY, shown);
      if (status == 0) made.push_back({&hierarchy_, parent, name, true});
      if (!child) return fail(child.error());
      current = std::move(*child);
      parent = parent == "." ? name : fs::join(parent, name);
    }
    leaf_ = std::move(current);
    shown_ = std::move(shown);
    return {};
  }

  [[nodiscard]] Status delegate(const Owner& owner) const {
    constexpr std::array<const char*, 5> files = {"", "cgroup.procs", "cgroup.threads",
                                                  "cgroup.subtree_control", "tasks"};
    for (const char* const file : files) {
      const int status = sys::change_owner_at(leaf_.get(), file, owner.user, owner.group);
      if (status < 0 && status != -ENOENT) {
        return fail(fs::system_error("delegate", fs::join(shown_, file), -status));
      }
    }
    return {};
  }

  /// Fails if the cgroup was made here but `group` does not have it.
  [[nodiscard]] Status check_in(const Group& group) const {
    for (const Group::Place& place : group.places()) {
      if (place.hierarchy == &hierarchy_) return {};
    }
    for (const Group::Unopened& one : group.unopened()) {
      if (one.hierarchy == &hierarchy_) return fail(one.error);
    }
    return fail(detail::gone(creation, shown_));
  }

 private:
  [[nodiscard]] Status check_enabling(int directory, const std::string& shown) const {
    const std::string control = fs::join(shown, "cgroup.subtree_control");
    const auto enabled = fs::read_beneath(directory, "cgroup.subtree_control", control);
    if (!enabled) return fail(enabled.error());
    const auto missing = std::find_if(
        controllers_.begin(), controllers_.end(),
        [&](const std::string& controller) { return !parse::has_word(*enabled, controller); });
    if (missing == controllers_.end()) return {};
    const auto occupied = is_occupied_domain(directory, shown);
    if (!occupied) return fail(occupied.error());
    return *occupied ? fail(enable_error(shown, *missing, EBUSY)) : Status{};
  }

  /// Enables the wanted v2 controllers for the cgroups below `directory`.
  Status enable(int directory, const std::string& shown, const std::string& path,
                std::vector<Made>& made) {
    if (hierarchy_.version != Version::v2) return {};
    const std::string control = fs::join(shown, "cgroup.subtree_control");
    const auto enabled = fs::read_beneath(directory, "cgroup.subtree_control", control);
    if (!enabled) return fail(enabled.error());
    for (const std::string& controller : controllers_) {
      if (parse::has_word(*enabled, controller)) continue;
      if (const auto status = write_control(directory, "+" + controller, control); !status) {
        return fail(enable_error(shown, controller, status.error().os_errno));
      }
      made.push_back({&hierarchy_, path, controller, false});
    }
    return {};
  }

  const Hierarchy& hierarchy_;
  std::vector<std::string> controllers_;
  UniqueFd leaf_;
  std::string shown_;
};

/// Returns a maker for each hierarchy, with the controllers wanted there.
Result<std::vector<Maker>> makers(const Host& host, const std::vector<std::string>& wanted) {
  constexpr std::array<const char*, 3> usual = {"cpu", "cpuacct", "memory"};
  std::vector<std::pair<const Hierarchy*, std::vector<std::string>>> chosen;
  const auto add = [&](const Hierarchy* hierarchy, const std::string& controller) {
    auto known = std::find_if(chosen.begin(), chosen.end(),
                              [&](const auto& one) { return one.first == hierarchy; });
    if (known == chosen.end()) known = chosen.insert(known, {hierarchy, {}});
    auto& controllers = known->second;
    if (controller.empty()) return;
    if (std::find(controllers.begin(), controllers.end(), controller) == controllers.end()) {
      controllers.push_back(controller);
    }
  };
  for (const std::string& controller : wanted) {
    if (controller == "cgroup" && host.unified() != nullptr) {
      add(host.unified(), {});
      continue;
    }
    const auto hierarchy = host.require(controller);
    if (!hierarchy) return fail(hierarchy.error());
    add(*hierarchy, controller);
  }
  if (wanted.empty()) {
    for (const char* const controller : usual) {
      const auto hierarchy = host.require(controller);
      if (hierarchy) {
        add(*hierarchy, controller);
      } else if (hierarchy.error().kind != errc::unsupported) {
        return fail(hierarchy.error());
      }
    }
  }
  if (chosen.empty()) {
    return fail(Error::make(errc::unsupported, creation, {},
                            "this host has none of cpu, cpuacct and memory",
                            "name controllers it has, see Host::hierarchies()"));
  }
  std::vector<Maker> found;
  found.reserve(chosen.size());
  for (auto& [hierarchy, controllers] : chosen) {
    found.emplace_back(*hierarchy, std::move(controllers));
  }
  return found;
}

/// Makes the cgroup in all its hierarchies. On failure `made` lists the steps taken.
Result<Group> make(const Host& host, std::string_view path, const Creation& how,
                   std::vector<Made>& made) {
  const auto clean = host.relative_path(path);
  if (!clean) return fail(clean.error());
  if (*clean == ".") {
    return fail(Error::make(errc::invalid_argument, creation, "/", "the root exists already",
                            "name a cgroup below it"));
  }
  auto places = makers(host, how.controllers);
  if (!places) return fail(places.error());
  for (const Maker& maker : *places) {
    if (auto status = maker.check(*clean); !status) return fail(status.error());
  }
  for (Maker& maker : *places) {
    if (auto status = maker.make(*clean, made); !status) return fail(status.error());
  }
  for (const Maker& maker : *places) {
    if (!how.owner) break;
    if (auto status = maker.delegate(*how.owner); !status) return fail(status.error());
  }
  auto group = Group::open(host, *clean);
  for (const Maker& maker : *places) {
    if (!group) break;
    if (auto status = maker.check_in(*group); !status) return fail(status.error());
  }
  return group;
}

Status undo(const Made& made) {
  const std::string shown = fs::join(made.hierarchy->mount_point, made.parent);
  const auto parent =
      fs::open_beneath(made.hierarchy->directory.get(), made.parent, O_PATH | O_DIRECTORY, shown);
  if (!parent && parent.error().os_errno == ENOENT) return {};
  if (!parent) return fail(parent.error());
  if (!made.is_directory) return write_control(parent->get(), "-" + made.what, shown);
  const int status = sys::remove_directory_at(parent->get(), made.what.c_str());
  if (status < 0 && status != -ENOENT) {
    return fail(fs::system_error("delete", fs::join(shown, made.what), -status));
  }
  return {};
}

}  // namespace

Status detail::check_creation(const Host& host, std::string_view path,
                              const std::vector<std::string>& controllers) {
  const auto clean = fs::clean_relative_path(path);
  if (!clean) return fail(clean.error());
  const auto places = makers(host, controllers);
  if (!places) return fail(places.error());
  for (const Maker& maker : *places) {
    if (auto status = maker.check(*clean); !status) return status;
  }
  return {};
}

Status unmake(const std::vector<Made>& made) {
  Status status;
  for (auto one = made.rbegin(); one != made.rend(); ++one) {
    auto undone = undo(*one);
    if (!undone && status) status = std::move(undone);
  }
  return status;
}

Result<Group> Group::create(const Host& host, std::string_view path, const Creation& how,
                            std::vector<Made>& made) {
  std::vector<Made> mine;
  auto group = make(host, path, how, mine);
  if (!group) {
    const auto undone = unmake(mine);
    if (undone) return group;
    std::string& hint = group.error().hint;
    if (!hint.empty()) hint += "; ";
    hint += "what was made could not be removed: " + undone.error().message();
  }
  std::move(mine.begin(), mine.end(), std::back_inserter(made));
  return group;
}

Result<Group> Group::create(const Host& host, std::string_view path, const Creation& how) {
  std::vector<Made> made;
  return create(host, path, how, made);
}

}  // namespace cgctl
