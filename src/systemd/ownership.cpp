// SPDX-FileCopyrightText: The cgctl authors
// SPDX-License-Identifier: MIT
#include <fcntl.h>
#include <sys/stat.h>
#include <sys/xattr.h>

#include <algorithm>
#include <utility>

#include "cgctl/filesystem.hpp"
#include "cgctl/group.hpp"
#include "cgctl/parse.hpp"
#include "cgctl/systemd.hpp"
#include "cgctl/workload.hpp"

namespace cgctl::systemd {
namespace {

constexpr std::string_view system_slice = "/system.slice";

/// Returns the hierarchies in which systemd keeps its units. On a hybrid host, two.
std::vector<const Hierarchy*> hierarchies_of_units(const Host& host) {
  std::vector<const Hierarchy*> found;
  for (const Hierarchy* const one : {host.unified(), host.find("name=systemd")}) {
    if (one != nullptr) found.push_back(one);
  }
  return found;
}

/// Returns the hierarchy that has the limits: v2's, or one of v1 that systemd manages.
const Hierarchy* hierarchy_of_limits(const Host& host) {
  for (const char* const controller : {"memory", "cpu", "pids"}) {
    if (const Hierarchy* const found = host.find(controller)) return found;
  }
  return nullptr;
}

bool is_marked(const std::string& directory, const char* attribute) {
  char value = 0;
  return ::getxattr(directory.c_str(), attribute, &value, sizeof value) == 1 && value == '1';
}

/// True if systemd has delegated what is below a unit.
bool is_delegated(const Host& host, const std::string& unit) {
  for (const Hierarchy* const hierarchy : hierarchies_of_units(host)) {
    const std::string directory = fs::join(hierarchy->mount_point, unit);
    if (is_marked(directory, "user.delegate")) return true;
    if (is_marked(directory, "trusted.delegate")) return true;
  }
  return false;
}

bool is_unit(std::string_view path) {
  const std::string_view unit = workload::workload_of(path).unit;
  const std::string_view name = path.substr(path.rfind('/') + 1);
  return !unit.empty() && unit == name;
}

/// True for a user's manager: what is delegated to it is managed by another systemd.
bool is_manager(std::string_view unit) {
  const std::string_view name = unit.substr(unit.rfind('/') + 1);
  return parse::starts_with(name, "user@");
}

/// True for the units that run as long as the machine.
bool is_perpetual(std::string_view unit) { return unit == "/" || unit == system_slice; }

/// The nearest unit above a cgroup, or its own, and whether one above the cgroup is delegated.
struct Nearest {
  std::string unit = "/";
  bool delegated = false;
};

Nearest nearest_unit(const Host& host, const std::string& path) {
  Nearest found;
  for (std::size_t end = path.find('/', 1);; end = path.find('/', end + 1)) {
    const std::string above = path.substr(0, end);
    if (!is_unit(above)) return found;
    found.unit = above;
    if (end == std::string::npos) return found;
    found.delegated = !is_manager(above) && is_delegated(host, above);
    if (found.delegated) return found;
  }
}

Result<std::string> read_in(const Hierarchy& hierarchy, const std::string& path, const char* file) {
  const std::string shown = fs::join(fs::join(hierarchy.mount_point, path), file);
  return fs::read_beneath(hierarchy.directory.get(), fs::join(path.substr(1), file), shown,
                          hierarchy.open_flags);
}

/// True if a cgroup of v2 has a controller that it does not pass on: the kernel lets nobody switch
/// off the others above it.
bool keeps_controllers(const Hierarchy& hierarchy, const std::string& path) {
  const auto own = read_in(hierarchy, path, "cgroup.controllers");
  const auto passed_on = read_in(hierarchy, path, "cgroup.subtree_control");
  if (!own || !passed_on) return true;
  std::string_view lines = *own;
  std::string_view rest = parse::line(lines);
  for (auto word = parse::field(rest); !word.empty(); word = parse::field(rest)) {
    if (!parse::has_word(*passed_on, word)) return true;
  }
  return false;
}

Treatment treatment_of(const Host& host, const std::string& path, const Nearest& nearest) {
  if (nearest.delegated) return Treatment::leaves_alone;
  if (path == nearest.unit) return Treatment::resets_limits;
  if (!is_perpetual(nearest.unit)) return Treatment::removes;
  const Hierarchy* const limits = hierarchy_of_limits(host);
  if (limits == nullptr) return Treatment::leaves_alone;
  if (limits->version == Version::v1) return Treatment::may_remove;
  const bool is_beside_units = path.rfind('/') == (nearest.unit == "/" ? 0 : nearest.unit.size());
  return is_beside_units && keeps_controllers(*limits, path) ? Treatment::may_switch_off
                                                             : Treatment::leaves_alone;
}

Result<std::vector<std::string>> children_of(const Hierarchy& hierarchy, const std::string& path) {
  const std::string relative = path == "/" ? "." : path.substr(1);
  const std::string shown = fs::join(hierarchy.mount_point, path);
  const auto opened =
      fs::open_beneath(hierarchy.directory.get(), relative, O_PATH | O_DIRECTORY, shown);
  if (!opened) return fail(opened.error());
  return child_directories(opened->get(), shown);
}

/// True if a task is in the cgroup or below it, or if that cannot be read.
bool has_tasks(const Hierarchy& hierarchy, const std::string& path) {
  const auto tasks = read_in(hierarchy, path, "cgroup.procs");
  if (!tasks || !tasks->empty()) return true;
  const auto children = children_of(hierarchy, path);
  return !children || std::any_of(children->begin(), children->end(), [&](const auto& name) {
    return has_tasks(hierarchy, fs::join(path, name));
  });
}

bool is_slice(std::string_view path) {
  constexpr std::string_view type = ".slice";
  return is_unit(path) && path.substr(path.size() - type.size()) == type;
}

}  // namespace

bool is_booted(const std::string& machine_root) {
  struct stat found {};
  const std::string mark = fs::join(machine_root, "run/systemd/system");
  return ::lstat(mark.c_str(), &found) == 0 && S_ISDIR(found.st_mode);
}

Result<Fate> fate_of(const Host& host, std::string_view path) {
  auto clean = host.relative_path(path);
  if (!clean) return fail(std::move(clean.error()));
  const std::string absolute = *clean == "." ? "/" : fs::join("/", *clean);
  if (hierarchies_of_units(host).empty()) return Fate{};
  const Nearest nearest = nearest_unit(host, absolute);
  return Fate{treatment_of(host, absolute, nearest), nearest.unit};
}

Result<std::vector<std::string>> endangered(const Host& host) {
  std::vector<std::string> found;
  const Hierarchy* const limits = hierarchy_of_limits(host);
  if (limits == nullptr) return found;
  std::vector<std::string> slices = {"/"};
  for (std::size_t i = 0; i < slices.size(); ++i) {
    const std::string slice = slices[i];
    const auto children = children_of(*limits, slice);
    if (!children && children.error().kind == errc::vanished) continue;
    if (!children) return fail(children.error());
    for (const std::string& name : *children) {
      const std::string path = fs::join(slice, name);
      if (is_slice(path)) slices.push_back(path);
      if (is_unit(path)) continue;
      const auto fate = fate_of(host, path);
      if (!fate || fate->treatment == Treatment::leaves_alone) continue;
      if (fate->treatment == Treatment::may_remove && has_tasks(*limits, path)) continue;
      found.push_back(path);
    }
  }
  std::sort(found.begin(), found.end());
  return found;
}

}  // namespace cgctl::systemd
