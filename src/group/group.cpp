// SPDX-FileCopyrightText: The cgctl authors
// SPDX-License-Identifier: MIT
#include "cgctl/group.hpp"

#include <fcntl.h>
#include <sys/stat.h>

#include <algorithm>
#include <cerrno>

#include "cgctl/filesystem.hpp"
#include "cgctl/parse.hpp"
#include "detail/directory.hpp"
#include "detail/directory_entries.hpp"
#include "detail/tree_walk.hpp"
#include "group/detail.hpp"
#include "group/kernel_files.hpp"

namespace cgctl {
namespace {

bool holds(const std::vector<const Hierarchy*>& all, const Hierarchy* one) {
  return std::find(all.begin(), all.end(), one) != all.end();
}

template <class Place>
bool is_v2(const Place& place) {
  return place.hierarchy->version == Version::v2;
}

bool ends_with(std::string_view text, std::string_view suffix) {
  return text.size() >= suffix.size() && text.substr(text.size() - suffix.size()) == suffix;
}

bool is_file_name(std::string_view file) {
  return !file.empty() && file.find('/') == std::string_view::npos && file != "." && file != "..";
}

Error not_a_file_name(std::string shown) {
  return Error::make(errc::outside, "open", std::move(shown), "not the name of a cgroup file",
                     "give a kernel file name such as memory.stat");
}

bool is_core_file(std::string_view file) {
  return parse::starts_with(file, "cgroup.") || file.find('.') == std::string_view::npos;
}

}  // namespace

Error detail::gone(const char* operation, std::string shown) {
  return {errc::vanished,
          ENOENT,
          operation,
          std::move(shown),
          "the cgroup does not exist",
          "list what exists with Group::children()"};
}

Status detail::require_cgroupfs(int directory, const char* operation, std::string_view shown) {
  const std::int64_t magic = sys::file_system(directory);
  if (magic == fs::cgroup_v1_magic || magic == fs::cgroup_v2_magic) return {};
  return fail(Error::make(errc::outside, operation, std::string(shown),
                          "not on a cgroup file system",
                          "nothing was done; check the root directories given"));
}

Result<Group> Host::open(std::string_view path) const { return Group::open(*this, path); }

Group::Group(Host host, std::string path) noexcept
    : host_(std::move(host)), path_(std::move(path)) {}

/// Opens the cgroup in the hierarchies `wanted`; null: in all of them.
Result<Group> Group::open_in(const Host& host, std::string_view path,
                             const std::vector<const Hierarchy*>* wanted) {
  const auto clean = host.relative_path(path);
  if (!clean) return fail(clean.error());
  Group group(host, *clean == "." ? "/" : "/" + *clean);
  for (const Hierarchy& hierarchy : host.hierarchies()) {
    if (wanted != nullptr && !holds(*wanted, &hierarchy)) continue;
    const std::string shown = fs::join(hierarchy.mount_point, *clean);
    auto directory =
        fs::open_beneath(hierarchy.directory.get(), *clean, O_PATH | O_DIRECTORY, shown);
    if (directory) {
      group.places_.push_back({&hierarchy, std::move(*directory)});
    } else if (!detail::is_gone(-directory.error().os_errno)) {
      group.unopened_.push_back({&hierarchy, directory.error()});
    }
  }
  std::stable_partition(group.places_.begin(), group.places_.end(), is_v2<Place>);
  return group;
}

Result<Group> Group::open(const Host& host, std::string_view path) {
  auto group = open_in(host, path, nullptr);
  if (!group) return group;
  for (const Unreachable& one : host.unreachable()) {
    group->unopened_.push_back({&one.hierarchy, one.error});
  }
  if (!group->places_.empty()) return group;
  if (auto status = group->require_all(); !status) return fail(status.error());
  return fail(detail::gone("open", group->path_));
}

Result<Group> Group::open(const Host& host, std::string_view path,
                          const std::vector<std::string>& controllers) {
  if (controllers.empty()) {
    return fail(
        Error::make(errc::invalid_argument, "open", std::string(path), "no controller is named"));
  }
  std::vector<const Hierarchy*> wanted;
  for (const std::string& controller : controllers) {
    const bool core = controller == "cgroup" && host.unified() != nullptr;
    const auto hierarchy =
        core ? Result<const Hierarchy*>(host.unified()) : host.require(controller);
    if (!hierarchy) return fail(hierarchy.error());
    if (!holds(wanted, *hierarchy)) wanted.push_back(*hierarchy);
  }
  auto group = open_in(host, path, &wanted);
  if (!group) return group;
  if (auto status = group->require_all(); !status) return fail(status.error());
  if (group->places_.size() == wanted.size()) return group;
  // The error tells a cgroup that no hierarchy has from one that some lack.
  if (auto anywhere = open(host, path); !anywhere) return anywhere;
  for (const Hierarchy* const hierarchy : wanted) {
    const bool there =
        std::any_of(group->places_.begin(), group->places_.end(),
                    [&](const Place& place) { return place.hierarchy == hierarchy; });
    if (!there) return fail(detail::gone("open", fs::join(hierarchy->mount_point, group->path_)));
  }
  return group;
}

Status Group::require_all() const {
  return unopened_.empty() ? Status{} : fail(unopened_.front().error);
}

Result<const Group::Place*> Group::place(std::string_view controller) const {
  for (const Place& place : places_) {
    if (place.hierarchy->has(controller)) return &place;
  }
  for (const Unopened& one : unopened_) {
    if (one.hierarchy->has(controller)) return fail(one.error);
  }
  const auto hierarchy = host_.require(controller);
  if (!hierarchy) return fail(hierarchy.error());
  Error error = detail::gone("open", fs::join((*hierarchy)->mount_point, path_));
  error.reason = "the cgroup is not in the hierarchy of " + std::string(controller);
  error.hint = "make it there as well with Group::create()";
  return fail(std::move(error));
}

/// Returns the place in v2 if v2 has the cgroup, else in the first hierarchy that has it.
Result<const Group::Place*> Group::first_place() const {
  if (places_.empty()) return fail(detail::gone("open", path_));
  if (is_v2(places_.front())) return &places_.front();
  const auto unknown = std::find_if(unopened_.begin(), unopened_.end(), is_v2<Unopened>);
  if (unknown != unopened_.end()) return fail(unknown->error);
  return &places_.front();
}

Result<const Group::Place*> Group::place_of_file(std::string_view file) const {
  if (is_core_file(file)) return first_place();
  if (ends_with(file, ".pressure")) {
    auto first = first_place();
    if (!first || is_v2(**first)) return first;
    return fail(Error::make(errc::unsupported, "open", fs::join(path_, file),
                            "pressure files exist on cgroup v2 only"));
  }
  auto found = place(file.substr(0, file.find('.')));
  if (found || found.error().kind != errc::unsupported) return found;
  for (const Version version : {Version::v1, Version::v2}) {
    const std::string hint = detail::counterpart_hint(file, version);
    if (!hint.empty()) found.error().hint = hint;
  }
  return found;
}

Result<UniqueFd> open_file_in(const Group::Place& place, std::string_view path,
                              std::string_view file, int flags) {
  const auto shown = [&] { return fs::join(fs::join(place.hierarchy->mount_point, path), file); };
  if (!is_file_name(file)) return fail(not_a_file_name(shown()));
  auto fd = fs::open_beneath(place.directory.get(), file, flags | place.hierarchy->open_flags, {});
  if (fd) return fd;
  fd.error().path = shown();
  if (fd.error().os_errno != ENOENT) return fd;
  struct ::stat procs {};
  const int status = sys::stat_at(place.directory.get(), "cgroup.procs", procs);
  if (detail::is_gone(status)) return fail(detail::gone("open", shown()));
  if (status < 0) return fail(fs::system_error("stat", shown(), -status));
  Error error = Error::make(errc::unsupported, "open", shown(), "this cgroup has no such file");
  error.os_errno = ENOENT;
  if (error.hint = detail::counterpart_hint(file, place.hierarchy->version); !error.hint.empty()) {
    return fail(error);
  }
  const std::string controller(file.substr(0, file.find('.')));
  error.hint = place.hierarchy->version == Version::v2 && !is_core_file(file)
                   ? "the kernel lacks it, or the controller is not enabled here: write +" +
                         controller + " to the parent's cgroup.subtree_control"
                   : "this kernel does not provide it";
  return fail(error);
}

Result<UniqueFd> Group::open_file(std::string_view file, int flags) const {
  if (!is_file_name(file)) return fail(not_a_file_name(fs::join(path_, file)));
  const auto place = place_of_file(file);
  if (!place) return fail(place.error());
  return open_file_in(**place, path_, file, flags);
}

Result<std::string> Group::read(std::string_view file) const {
  const auto fd = open_file(file, O_RDONLY);
  if (!fd) return fail(fd.error());
  auto text = fs::read_all(fd->get(), shown(file));
  // Root may open a file that has no read method: reading it then fails with EINVAL (kernfs).
  if (!text && text.error().os_errno == EINVAL) text.error().reason = "it can only be written";
  return text;
}

Status Group::write(std::string_view file, std::string_view value) const {
  const auto fd = open_file(file, O_WRONLY);
  if (!fd) return fail(fd.error());
  return fs::write_once(fd->get(), value, shown(file));
}

std::string Group::shown(std::string_view file) const {
  const auto place = place_of_file(file);
  if (!place) return fs::join(path_, file);
  return fs::join(fs::join((*place)->hierarchy->mount_point, path_), file);
}

Result<std::vector<std::string>> child_directories(int directory, std::string_view shown) {
  // A leaf, recognised by its link count, need not be listed.
  struct ::stat self {};
  if (const int status = sys::stat(directory, self); status < 0) {
    return fail(fs::system_error("stat", shown, -status));
  }
  if (detail::is_leaf(self)) return std::vector<std::string>{};
  const int fd = sys::open_at(directory, ".", O_RDONLY | O_DIRECTORY);
  if (fd < 0) return fail(fs::system_error("open", shown, -fd));
  const UniqueFd opened(fd);
  std::vector<std::string> names;
  const auto buffer = detail::make_entries();
  const int status = detail::each_subdirectory(
      fd, *buffer,
      [&](const char* name, const struct ::stat& /*found*/) { names.emplace_back(name); });
  if (status < 0) return fail(fs::system_error("list", shown, -status));
  std::sort(names.begin(), names.end());
  return names;
}

Status add_paths_below(int directory, std::string_view shown, std::vector<std::string>& out) {
  return detail::each_below(directory, shown, [&](const detail::Step& step) {
    out.push_back(step.path);
    return Status{};
  });
}

Result<std::vector<std::string>> Group::files(std::string_view controller) const {
  const auto found = place(controller);
  if (!found) return fail(found.error());
  auto names = detail::file_names((*found)->directory.get(),
                                  fs::join((*found)->hierarchy->mount_point, path_));
  if (!names) return names;
  const std::string prefix = std::string(controller) + ".";
  const auto others = [&](const std::string& name) { return !parse::starts_with(name, prefix); };
  names->erase(std::remove_if(names->begin(), names->end(), others), names->end());
  return names;
}

Result<std::vector<std::string>> Group::children() const {
  if (auto status = require_all(); !status) return fail(status.error());
  std::vector<std::string> all;
  for (const Place& place : places_) {
    auto names =
        child_directories(place.directory.get(), fs::join(place.hierarchy->mount_point, path_));
    if (!names) return fail(names.error());
    all.insert(all.end(), names->begin(), names->end());
  }
  // A removed directory lists as empty.
  if (places_.empty()) return fail(detail::gone("list", path_));
  if (all.empty()) {
    struct ::stat procs {};
    const int status = sys::stat_at(places_.front().directory.get(), "cgroup.procs", procs);
    if (detail::is_gone(status)) return fail(detail::gone("list", path_));
    if (status < 0) return fail(fs::system_error("stat", path_, -status));
  }
  std::sort(all.begin(), all.end());
  all.erase(std::unique(all.begin(), all.end()), all.end());
  return all;
}

}  // namespace cgctl
