// SPDX-FileCopyrightText: The cgctl authors
// SPDX-License-Identifier: MIT
#include "tree/prune.hpp"

#include <fcntl.h>
#include <sys/stat.h>

#include <algorithm>
#include <array>
#include <cerrno>
#include <utility>

#include "cgctl/detail/sys.hpp"
#include "cgctl/filesystem.hpp"
#include "cgctl/group.hpp"
#include "cgctl/parse.hpp"
#include "detail/directory_entries.hpp"

namespace cgctl::tree::detail {
namespace {

using settings::Setting;

/// Returns the named cgroups without a named ancestor.
std::vector<std::string> tops(const std::set<std::string>& named) {
  std::vector<std::string> found;
  for (const std::string& path : named) {
    bool below = false;
    for (std::string above = path; above != "/" && !below;) {
      above = fs::parent(above);
      below = named.count(above) != 0;
    }
    if (!below) found.push_back(path);
  }
  return found;
}

/// Adds the paths below `path` in all hierarchies.
Status collect(const Host& host, const std::string& path, std::set<std::string>& out) {
  const auto group = Group::open(host, path);
  if (!group) return group.error().kind == errc::vanished ? Status{} : fail(group.error());
  for (const Group::Place& place : group->places()) {
    std::vector<std::string> below;
    auto status =
        add_paths_below(place.directory.get(), fs::join(place.hierarchy->mount_point, path), below);
    if (!status && status.error().os_errno != ENOENT) return status;
    for (const std::string& one : below) out.insert(fs::join(path, one));
  }
  return {};
}

Error occupied(const std::string& path, const std::string& by, bool more) {
  return {errc::system,
          EBUSY,
          "plan",
          path,
          "it would be removed, but has " + by + (more ? ", ...)" : ")"),
          "move or end them first, or add the cgroup to the file"};
}

/// Fails with EBUSY if the cgroup has tasks.
Status check_empty(const Group& group) {
  const auto processes = group.processes();
  if (processes) {
    if (processes->empty()) return {};
    return fail(occupied(group.path(), "processes (" + std::to_string(processes->front()),
                         processes->size() > 1));
  }
  if (processes.error().kind == errc::vanished) return {};
  if (processes.error().os_errno != EOPNOTSUPP) return fail(processes.error());
  // A threaded v2 cgroup lists only its threads.
  for (const Group::Place& place : group.places()) {
    const bool v2 = place.hierarchy->version == Version::v2;
    const char* const file = v2 ? "cgroup.threads" : "tasks";
    const auto text = fs::read_beneath(place.directory.get(), file, fs::join(group.path(), file),
                                       place.hierarchy->open_flags);
    if (!text) return fail(text.error());
    std::string_view rest = *text;
    const std::string_view first = parse::line(rest);
    if (first.empty()) continue;
    return fail(occupied(group.path(), "threads (" + std::string(first), !rest.empty()));
  }
  return {};
}

/// Reads a file of one value; empty if there is no such file or the kernel disables it.
Result<std::string> value_in(int directory, const char* file, const std::string& shown,
                             int open_flags) {
  auto text = fs::read_beneath(directory, file, fs::join(shown, file), open_flags);
  if (!text && (text.error().os_errno == ENOENT || text.error().os_errno == EOPNOTSUPP)) {
    return std::string();
  }
  if (!text) return text;
  if (!text->empty() && text->back() == '\n') text->pop_back();
  return std::move(*text);
}

/// Returns the states to restore: values that are no settings and that a new cgroup would not have.
Result<std::vector<Setting>> states_in(int directory, const std::string& shown, int open_flags) {
  std::vector<Setting> states;
  const auto type = value_in(directory, "cgroup.type", shown, open_flags);
  if (!type) return fail(type.error());
  if (*type == "threaded") states.push_back({"cgroup.type", "threaded"});
  const auto enabled = value_in(directory, "cgroup.subtree_control", shown, open_flags);
  if (!enabled) return fail(enabled.error());
  std::string_view rest = *enabled;
  for (std::string_view name = parse::field(rest); !name.empty(); name = parse::field(rest)) {
    states.push_back({"cgroup.subtree_control", "+" + std::string(name)});
  }
  constexpr std::array<const char*, 4> files = {"notify_on_release", "cgroup.clone_children",
                                                "cgroup.freeze", "cgroup.pressure"};
  for (const char* const file : files) {
    auto value = value_in(directory, file, shown, open_flags);
    if (!value) return fail(value.error());
    if (!value->empty()) states.push_back({file, std::move(*value)});
  }
  const auto frozen = value_in(directory, "freezer.self_freezing", shown, open_flags);
  if (!frozen) return fail(frozen.error());
  if (*frozen == "1") states.push_back({"freezer.state", "FROZEN"});
  return states;
}

Result<std::vector<permissions::Previous>> files_in(int directory, const std::string& shown) {
  auto names = cgctl::detail::file_names(directory, shown);
  if (!names) return fail(names.error());
  names->emplace_back();
  std::vector<permissions::Previous> files;
  for (const std::string& name : *names) {
    struct ::stat found {};
    const int status =
        name.empty() ? sys::stat(directory, found) : sys::stat_at(directory, name.c_str(), found);
    if (status < 0) return fail(fs::system_error("stat", fs::join(shown, name), -status));
    files.push_back({name, directory, found.st_uid, found.st_gid, found.st_mode & 07777});
  }
  return files;
}

/// Opens the cgroup's directory in one hierarchy; makes it if it is missing.
Result<UniqueFd> made(const Hierarchy& hierarchy, const std::string& path) {
  const std::string above = fs::parent(path);
  const std::string shown = fs::join(hierarchy.mount_point, path.substr(1));
  const auto parent =
      fs::open_beneath(hierarchy.directory.get(), above == "/" ? "." : above.substr(1),
                       O_PATH | O_DIRECTORY, fs::join(hierarchy.mount_point, above.substr(1)));
  if (!parent) return fail(parent.error());
  const std::string name = path.substr(path.rfind('/') + 1);
  const int status = sys::make_directory_at(parent->get(), name.c_str(), 0755);
  if (status < 0 && status != -EEXIST) return fail(fs::system_error("create", shown, -status));
  return fs::open_beneath(parent->get(), name, O_PATH | O_DIRECTORY, shown);
}

Status write_in(int directory, const Setting& state, const std::string& shown) {
  const std::string path = fs::join(shown, state.file);
  const auto file = fs::open_beneath(directory, state.file, O_WRONLY, path);
  if (!file) return fail(file.error());
  return fs::write_once(file->get(), state.value, path);
}

}  // namespace

Status add_removals(const Host& host, const std::set<std::string>& named, Work& work) {
  std::set<std::string> kept = named;
  for (const std::string& path : named) {
    for (std::string above = fs::parent(path); above != "/"; above = fs::parent(above)) {
      kept.insert(above);
    }
  }
  std::set<std::string> there;
  for (const std::string& top : tops(named)) {
    if (auto status = collect(host, top, there); !status) return status;
  }
  // In reverse order, children come before their parents.
  for (auto path = there.rbegin(); path != there.rend(); ++path) {
    if (kept.count(*path) != 0 || *path == "/") continue;
    const auto group = Group::open(host, *path);
    if (!group && group.error().kind == errc::vanished) continue;
    if (!group) return fail(group.error());
    if (auto status = check_empty(*group); !status) return status;
    Step step;
    step.kind = Step::Kind::remove;
    step.path = *path;
    work.plan.steps.push_back(std::move(step));
    work.removals.push_back(*path);
  }
  return {};
}

Result<Removed> Removed::remember(const Host& host, const Group& group) {
  if (auto status = group.require_all(); !status) return fail(status.error());
  Removed removed;
  removed.path_ = group.path();
  auto settings = snapshot(host, group.path());
  if (!settings) return fail(settings.error());
  removed.settings_ = std::move(*settings);
  for (const Group::Place& place : group.places()) {
    const int directory = place.directory.get();
    const std::string shown = fs::join(place.hierarchy->mount_point, group.path());
    auto files = files_in(directory, shown);
    if (!files) return fail(files.error());
    auto states = states_in(directory, shown, place.hierarchy->open_flags);
    if (!states) return fail(states.error());
    removed.places_.push_back({place.hierarchy, std::move(*files), std::move(*states)});
    if (!place.hierarchy->has("devices")) continue;
    auto lists = cgctl::detail::device_lists(group);
    if (!lists) return fail(lists.error());
    removed.devices_ = std::move(*lists);
  }
  return removed;
}

Status Removed::bring_back(const Host& host) const {
  Status first;
  const auto note = [&first](Status status) {
    if (!status && first) first = std::move(status);
  };
  std::vector<UniqueFd> directories;
  for (const Place& place : places_) {
    auto directory = made(*place.hierarchy, path_);
    if (!directory) return fail(directory.error());
    directories.push_back(std::move(*directory));
  }
  const auto applied = apply(host, settings_);
  if (!applied) note(fail(applied.error()));
  note(cgctl::detail::restore_devices(host, devices_));
  for (std::size_t i = 0; i < places_.size(); ++i) {
    const int directory = directories[i].get();
    const std::string shown = fs::join(places_[i].hierarchy->mount_point, path_.substr(1));
    for (const Setting& state : places_[i].states) {
      const auto now =
          value_in(directory, state.file.c_str(), shown, places_[i].hierarchy->open_flags);
      if (!now || *now != state.value) note(write_in(directory, state, shown));
    }
    std::vector<permissions::Previous> files = places_[i].files;
    for (permissions::Previous& file : files) file.directory = directory;
    note(permissions::restore(files));
  }
  return first;
}

}  // namespace cgctl::tree::detail
