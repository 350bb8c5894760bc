// SPDX-FileCopyrightText: The cgctl authors
// SPDX-License-Identifier: MIT
#include <fcntl.h>
#include <sys/stat.h>

#include <algorithm>
#include <cerrno>
#include <map>
#include <set>
#include <unordered_map>

#include "cgctl/detail/sys.hpp"
#include "cgctl/filesystem.hpp"
#include "cgctl/group.hpp"
#include "cgctl/parse.hpp"
#include "cgctl/tree.hpp"
#include "detail/directory_entries.hpp"
#include "detail/tree_walk.hpp"
#include "settings/values.hpp"

namespace cgctl::tree {
namespace {

using Sections = std::vector<Section>;
/// The sections found, by path. A parent sorts before its children.
using Found = std::map<std::string, Sections>;

bool is_gone(const Error& error) {
  return error.kind == errc::vanished || error.os_errno == ENOENT;
}

std::string_view controller_of(std::string_view file) { return file.substr(0, file.find('.')); }

std::vector<std::string> words(std::string_view text) {
  std::vector<std::string> found;
  std::string_view line = parse::line(text);
  for (std::string_view word = parse::field(line); !word.empty(); word = parse::field(line)) {
    found.emplace_back(word);
  }
  return found;
}

enum class Which { all, different };

/// Reads the cgroups of one hierarchy.
class Reader {
 public:
  Reader(const Hierarchy& hierarchy, Found& found, Which which = Which::different)
      : hierarchy_(hierarchy), found_(found), which_(which) {}

  Status add(int directory, const std::string& path, int above) {
    if (path != "/") {
      if (auto status = add_one(directory, path, above); !status) return status;
    }
    const std::string shown = fs::join(hierarchy_.mount_point, path.substr(1));
    auto walked = cgctl::detail::each_below(
        directory, shown, [&](const cgctl::detail::Step& step) { return add(step, path); });
    return walked || !is_gone(walked.error()) ? walked : Status{};
  }

  /// Adds a cgroup below `top`.
  Status add(const cgctl::detail::Step& step, const std::string& top) {
    const std::string path = fs::join(top, step.path);
    const auto child = fs::open_beneath(step.parent, step.name, O_RDONLY | O_DIRECTORY,
                                        fs::join(hierarchy_.mount_point, path));
    if (!child && is_gone(child.error())) return {};
    if (!child) return fail(child.error());
    return add_one(child->get(), path, step.parent);
  }

  Status add_one(int directory, const std::string& path, int above) {
    const std::string shown = fs::join(hierarchy_.mount_point, path.substr(1));
    auto controllers = controllers_of(directory, shown);
    if (!controllers) return is_gone(controllers.error()) ? Status{} : fail(controllers.error());
    Sections sections;
    for (std::string& controller : *controllers) sections.push_back({std::move(controller), {}});
    auto files = setting_files(directory, shown);
    if (!files) return is_gone(files.error()) ? Status{} : fail(files.error());
    // An idle cgroup shows 3 shares, or a weight of 0 or 1, which cannot be set.
    const auto idle = read(directory, "cpu.idle", shown);
    if (!idle && !is_gone(idle.error())) return fail(idle.error());
    const bool is_idle = idle && *idle == "1\n";
    for (const std::string& file : *files) {
      if (is_idle && (file == "cpu.shares" || file == "cpu.weight")) continue;
      const auto section = std::find_if(sections.begin(), sections.end(), [&](const Section& one) {
        return one.controller == controller_of(file);
      });
      if (section == sections.end()) continue;
      if (auto status = add_settings(directory, above, shown, file, *section); !status) {
        if (is_gone(status.error())) continue;
        return status;
      }
    }
    // A v2 controller's section already says that the cgroup exists in v2.
    if (sections.size() > 1 && sections.front().controller == "cgroup" &&
        sections.front().settings.empty()) {
      sections.erase(sections.begin());
    }
    Sections& all = found_[path];
    std::move(sections.begin(), sections.end(), std::back_inserter(all));
    return {};
  }

 private:
  Result<std::string> read(int directory, const std::string& name, const std::string& shown) const {
    return fs::read_beneath(directory, name, fs::join(shown, name), hierarchy_.open_flags);
  }

  /// Returns the controllers of the cgroup in this hierarchy; on v2 also "cgroup", for files of no
  /// controller.
  Result<std::vector<std::string>> controllers_of(int directory, const std::string& shown) const {
    if (hierarchy_.version == Version::v1) return hierarchy_.controllers;
    const auto text = read(directory, "cgroup.controllers", shown);
    if (!text) return fail(text.error());
    auto controllers = words(*text);
    std::sort(controllers.begin(), controllers.end());
    controllers.insert(controllers.begin(), "cgroup");
    return controllers;
  }

  /// Returns the names of the setting files, sorted. In this order a new cgroup accepts all quotas
  /// and limits.
  Result<std::vector<std::string>> setting_files(int directory, const std::string& shown) {
    auto names = cgctl::detail::file_names(directory, shown);
    if (!names) return names;
    std::vector<std::string> settings;
    for (std::string& name : *names) {
      const auto is_one = is_setting(directory, name, shown);
      if (!is_one) return fail(is_one.error());
      if (*is_one) settings.push_back(std::move(name));
    }
    std::sort(settings.begin(), settings.end());
    return settings;
  }

  Result<bool> is_setting(int directory, const std::string& name, const std::string& shown) {
    const auto known = is_setting_.find(name);
    if (known != is_setting_.end()) return known->second;
    auto answer = check(directory, name, shown);
    if (answer) is_setting_.emplace(name, *answer);
    return answer;
  }

  static Result<bool> check(int directory, const std::string& name, const std::string& shown) {
    if (!cgctl::detail::kernel_file(name).is_setting()) return false;
    struct ::stat found {};
    const int status = sys::stat_at(directory, name.c_str(), found);
    if (status < 0) return fail(fs::system_error("stat", fs::join(shown, name), -status));
    constexpr mode_t both = S_IRUSR | S_IWUSR;
    return S_ISREG(found.st_mode) && (found.st_mode & both) == both;
  }

  Status add_settings(int directory, int above, const std::string& shown, const std::string& name,
                      Section& section) const {
    const auto text = read(directory, name, shown);
    // The kernel may have the file without the feature: cpu.rt_runtime_us, memory.kmem.
    if (!text && text.error().os_errno == EOPNOTSUPP) return {};
    if (!text) return fail(text.error());
    const cgctl::detail::KernelFile file = cgctl::detail::kernel_file(name);
    if (file.is_keyed()) {
      // The kernel lists the device set last first; sorted, equal settings give equal texts.
      std::set<std::string_view> lines;
      std::string_view rest = *text;
      while (!rest.empty()) lines.insert(parse::line(rest));
      for (const std::string_view line : lines) {
        if (!cgctl::detail::is_default(file, line)) {
          section.settings.push_back({name, std::string(line)});
        }
      }
      return {};
    }
    const std::string value = cgctl::detail::written_form(file, *text);
    if (which_ == Which::different) {
      const auto as_new = is_as_new(above, file, value);
      if (!as_new) return fail(as_new.error());
      if (*as_new) return {};
    }
    section.settings.push_back({name, value});
    return {};
  }

  /// True if a new cgroup would have this value, whether made before or after its parent got its
  /// settings.
  Result<bool> is_as_new(int above, const cgctl::detail::KernelFile& file,
                         const std::string& value) const {
    if (!file.is_inherited()) return cgctl::detail::is_default(file, value);
    for (const int from : {above, hierarchy_.directory.get()}) {
      const auto text = fs::read_beneath(from, file.name, file.name, hierarchy_.open_flags);
      if (!text && !is_gone(text.error())) return fail(text.error());
      const bool same = text ? cgctl::detail::written_form(file, *text) == value
                             : cgctl::detail::is_default(file, value);
      if (!same) return false;
    }
    return true;
  }

  const Hierarchy& hierarchy_;
  Found& found_;
  Which which_;
  // Cached, because it is the same in all cgroups of a hierarchy.
  std::unordered_map<std::string, bool> is_setting_;
};

}  // namespace

Result<Cgroup> settings_of(const Group& group) {
  if (auto status = group.require_all(); !status) return fail(status.error());
  Found found;
  for (const Group::Place& place : group.places()) {
    const Hierarchy& hierarchy = *place.hierarchy;
    if (hierarchy.controllers.empty() && hierarchy.version == Version::v1) continue;
    const int directory = place.directory.get();
    if (auto status = Reader(hierarchy, found, Which::all).add_one(directory, group.path(), -1);
        !status) {
      return fail(status.error());
    }
  }
  return Cgroup{group.path(), std::move(found[group.path()])};
}

Result<Tree> snapshot(const Host& host, std::string_view path) {
  const auto group = Group::open(host, path);
  if (!group) return fail(group.error());
  if (auto status = group->require_all(); !status) return fail(status.error());
  const std::string& top = group->path();
  const std::string parent =
      top == "/" ? "." : top.substr(1, std::max<std::size_t>(top.rfind('/'), 1) - 1);
  Found found;
  for (const Hierarchy& hierarchy : host.hierarchies()) {
    // A named hierarchy of v1 has no settings.
    if (hierarchy.controllers.empty() && hierarchy.version == Version::v1) continue;
    const auto* place = &group->places().front();
    const auto* const end = place + group->places().size();
    place = std::find_if(place, end,
                         [&](const Group::Place& one) { return one.hierarchy == &hierarchy; });
    if (place == end) continue;
    const std::string shown = fs::join(hierarchy.mount_point, top);
    const auto directory =
        fs::open_beneath(place->directory.get(), ".", O_RDONLY | O_DIRECTORY, shown);
    const auto above = fs::open_beneath(hierarchy.directory.get(), parent.empty() ? "." : parent,
                                        O_RDONLY | O_DIRECTORY, shown);
    if (!directory && is_gone(directory.error())) continue;
    if (!directory) return fail(directory.error());
    if (!above) return fail(above.error());
    if (auto status = Reader(hierarchy, found).add(directory->get(), top, above->get()); !status) {
      return fail(status.error());
    }
  }
  Tree tree;
  for (auto& [name, sections] : found) {
    tree.push_back({name, std::move(sections)});
  }
  return tree;
}

}  // namespace cgctl::tree
