// SPDX-FileCopyrightText: The cgctl authors
// SPDX-License-Identifier: MIT
#include "cgctl/permissions.hpp"

#include <fcntl.h>
#include <grp.h>
#include <pwd.h>
#include <sys/stat.h>

#include <array>
#include <cerrno>
#include <cstdint>
#include <cstdio>
#include <limits>
#include <memory>
#include <utility>

#include "cgctl/detail/sys.hpp"
#include "cgctl/filesystem.hpp"
#include "cgctl/parse.hpp"
#include "detail/directory_entries.hpp"
#include "group/detail.hpp"
#include "group/kernel_files.hpp"

namespace cgctl::permissions {
namespace {

constexpr const char* operation = "set permissions of";
constexpr mode_t all_bits = 07777;

// getpwnam(3) and getgrnam(3) are not used because a static program lacks the libraries they load.

using File = std::unique_ptr<std::FILE, int (*)(std::FILE*)>;

File open_list(const char* path) { return {std::fopen(path, "re"), std::fclose}; }

/// Parses an id. The largest number is not an id: in chown(2) it means "unchanged".
std::optional<std::uint64_t> id_of(const std::string& text) {
  const auto number = parse::whole_number(text);
  return number && *number < std::numeric_limits<uid_t>::max() ? number : std::nullopt;
}

bool takes_tasks(const std::string& file) {
  using cgctl::detail::KernelFile;
  return cgctl::detail::kernel_file(file).role == KernelFile::Role::tasks;
}

/// The current and the wanted owner and mode of a file.
struct Target {
  Previous now;
  uid_t user;
  gid_t group;
  mode_t mode;

  [[nodiscard]] bool changes() const {
    return user != now.user || group != now.group || mode != now.mode;
  }
};

/// Removes rights that the file's owner does not have now: the kernel would not carry them out.
mode_t within_owner(mode_t mode, mode_t now) {
  const mode_t own = now & S_IRWXU;
  return mode & (own | (own >> 3U) | (own >> 6U) | ~static_cast<mode_t>(0777));
}

Result<Target> target(int directory, const std::string& file, const std::string& shown,
                      const Permissions& wanted) {
  struct ::stat found {};
  const int status =
      file.empty() ? sys::stat(directory, found) : sys::stat_at(directory, file.c_str(), found);
  if (status < 0) return fail(fs::system_error("stat", fs::join(shown, file), -status));
  const mode_t now = found.st_mode & all_bits;
  Target target{{file, directory, found.st_uid, found.st_gid, now},
                wanted.files.user.value_or(found.st_uid),
                wanted.files.group.value_or(found.st_gid),
                now};
  if (file.empty()) {
    target.mode = wanted.directory_mode.value_or(now);
    return target;
  }
  const Access& tasks = wanted.tasks;
  if (file == "tasks") {
    target.user = found.st_uid;
    target.group = found.st_gid;
  } else if (wanted.files.mode) {
    target.mode = within_owner(*wanted.files.mode, now);
  }
  if (!takes_tasks(file)) return target;
  target.user = tasks.user.value_or(target.user);
  target.group = tasks.group.value_or(target.group);
  if (tasks.mode) target.mode = within_owner(*tasks.mode, now);
  return target;
}

Result<std::vector<Target>> targets(const Group& group, const Permissions& wanted) {
  if (auto status = group.require_all(); !status) return fail(status.error());
  std::vector<Target> all;
  for (const Group::Place& place : group.places()) {
    const int directory = place.directory.get();
    const std::string shown = fs::join(place.hierarchy->mount_point, group.path());
    if (auto status = cgctl::detail::require_cgroupfs(directory, operation, shown); !status) {
      return fail(status.error());
    }
    auto names = cgctl::detail::file_names(directory, shown);
    if (!names) return fail(names.error());
    names->emplace_back();
    for (const std::string& name : *names) {
      auto one = target(directory, name, shown, wanted);
      if (!one) return fail(one.error());
      if (one->changes()) all.push_back(std::move(*one));
    }
  }
  return all;
}

/// Changes one file without following a link.
Status change(int directory, const std::string& file, uid_t user, gid_t group, mode_t mode) {
  int status = sys::change_owner_at(directory, file.c_str(), user, group);
  // The mode comes last because a change of the owner clears bits of it.
  if (status == 0) status = sys::change_mode_at(directory, file.empty() ? "." : file.c_str(), mode);
  if (status < 0) return fail(fs::system_error(operation, file, -status));
  return {};
}

}  // namespace

std::optional<Owner> find_user(const std::string& name) {
  const auto number = id_of(name);
  const File list = open_list("/etc/passwd");
  while (const passwd* const user = list ? ::fgetpwent(list.get()) : nullptr) {
    if (user->pw_name == name || (number && user->pw_uid == *number)) {
      return Owner{user->pw_uid, user->pw_gid};
    }
  }
  if (!number) return std::nullopt;
  return Owner{static_cast<uid_t>(*number), static_cast<gid_t>(*number)};
}

std::optional<gid_t> find_group(const std::string& name) {
  if (const auto number = id_of(name)) return static_cast<gid_t>(*number);
  const File list = open_list("/etc/group");
  while (const group* const found = list ? ::fgetgrent(list.get()) : nullptr) {
    if (found->gr_name == name) return found->gr_gid;
  }
  return std::nullopt;
}

std::string user_name(uid_t user) {
  const File list = open_list("/etc/passwd");
  while (const passwd* const found = list ? ::fgetpwent(list.get()) : nullptr) {
    if (found->pw_uid == user) return found->pw_name;
  }
  return std::to_string(user);
}

std::string group_name(gid_t group) {
  const File list = open_list("/etc/group");
  while (const struct ::group* const found = list ? ::fgetgrent(list.get()) : nullptr) {
    if (found->gr_gid == group) return found->gr_name;
  }
  return std::to_string(group);
}

Result<std::vector<Previous>> differing(const Group& group, const Permissions& wanted) {
  const auto all = targets(group, wanted);
  if (!all) return fail(all.error());
  std::vector<Previous> found;
  for (const Target& one : *all) found.push_back(one.now);
  return found;
}

Result<std::vector<Previous>> set(const Group& group, const Permissions& wanted) {
  const auto all = targets(group, wanted);
  if (!all) return fail(all.error());
  std::vector<Previous> changed;
  for (const Target& one : *all) {
    changed.push_back(one.now);
    auto status = change(one.now.directory, one.now.file, one.user, one.group, one.mode);
    if (status) continue;
    (void)restore(changed);
    status.error().path = fs::join(group.path(), one.now.file);
    return fail(std::move(status.error()));
  }
  return changed;
}

Status restore(const std::vector<Previous>& changed) {
  Status first;
  for (auto one = changed.rbegin(); one != changed.rend(); ++one) {
    auto status = change(one->directory, one->file, one->user, one->group, one->mode);
    if (!status && first) first = std::move(status);
  }
  return first;
}

}  // namespace cgctl::permissions
