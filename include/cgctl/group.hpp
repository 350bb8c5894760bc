// SPDX-FileCopyrightText: The cgctl authors
// SPDX-License-Identifier: MIT
#pragma once

#include <string>
#include <string_view>
#include <vector>

#include "cgctl/error.hpp"
#include "cgctl/host.hpp"
#include "cgctl/unique_fd.hpp"

namespace cgctl {

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

  /// `path` is the cgroup's, never a file's: relative to the hierarchies' roots, a leading slash
  /// allowed. errc::outside when it leaves them ("..", a symbolic link, another file system mounted
  /// inside), errc::vanished (ENOENT) when no hierarchy has it.
  static Result<Group> open(const Host& host, std::string_view path);

  /// "/" or "/a/b".
  [[nodiscard]] const std::string& path() const noexcept { return path_; }
  [[nodiscard]] const std::vector<Place>& places() const noexcept { return places_; }
  [[nodiscard]] const Host& host() const noexcept { return host_; }

  /// Where a controller ("memory", "cpu") has this cgroup. errc::unsupported when the host lacks
  /// the controller, errc::vanished when its hierarchy does not have the cgroup.
  [[nodiscard]] Result<const Place*> place(std::string_view controller) const;

  /// Opens one of this cgroup's files by the kernel's name ("memory.stat"); the controller is the
  /// part before the first dot, "cgroup." files and "tasks" are taken from the first hierarchy that
  /// has the cgroup, v2 first. errc::unsupported when the cgroup exists but the kernel has no such
  /// file there.
  [[nodiscard]] Result<UniqueFd> open_file(std::string_view file, int flags) const;
  /// Reads one of this cgroup's files whole.
  [[nodiscard]] Result<std::string> read(std::string_view file) const;
  /// The absolute path of one of its files, for messages.
  [[nodiscard]] std::string shown(std::string_view file) const;

  /// Names of the cgroups directly below, of all hierarchies together, sorted, each once.
  [[nodiscard]] Result<std::vector<std::string>> children() const;

 private:
  Group(Host host, std::string path, std::vector<Place> places) noexcept
      : host_(std::move(host)), path_(std::move(path)), places_(std::move(places)) {}
  [[nodiscard]] Result<const Place*> place_of_file(std::string_view file) const;

  Host host_;
  std::string path_;
  std::vector<Place> places_;
};

/// Opens one file in the directory of a place, telling apart what ENOENT can mean:
/// errc::unsupported when the cgroup is there and the kernel has no such file, errc::vanished when
/// the cgroup itself is gone.
Result<UniqueFd> open_file_in(const Group::Place& place, std::string_view path,
                              std::string_view file, int flags);

/// The names of the directories directly inside `directory` (any descriptor of it), sorted.
Result<std::vector<std::string>> child_directories(int directory, std::string_view shown);

}  // namespace cgctl
