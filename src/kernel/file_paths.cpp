// SPDX-FileCopyrightText: The cgctl authors
// SPDX-License-Identifier: MIT
#include "kernel/file_paths.hpp"

#include <fcntl.h>
#include <sys/stat.h>
#include <sys/sysmacros.h>

#include <algorithm>
#include <optional>
#include <string_view>

#include "cgctl/detail/sys.hpp"
#include "cgctl/filesystem.hpp"
#include "cgctl/parse.hpp"
#include "detail/mount_line.hpp"

namespace cgctl::kernel {
namespace {

/// Returns the part of `path` below `top`, with its slash; empty if they are the same.
std::optional<std::string_view> part_below(std::string_view path, std::string_view top) {
  if (top == "/") return path;
  if (!parse::starts_with(path, top)) return std::nullopt;
  path.remove_prefix(top.size());
  if (!path.empty() && path.front() != '/') return std::nullopt;
  return path;
}

std::string put_below(const std::string& top, std::string_view part) {
  return top == "/" ? std::string(part) : top + std::string(part);
}

bool may_not_answer(std::string_view type) {
  constexpr std::string_view networks[] = {"nfs", "cifs", "smb3", "fuse", "ceph", "afs", "lustre"};
  return std::any_of(std::begin(networks), std::end(networks),
                     [&](std::string_view one) { return parse::starts_with(type, one); });
}

bool is_file(const std::string& path, const census::PinnedFile& file) {
  struct ::stat found {};
  return sys::stat_at(AT_FDCWD, path.c_str(), found) == 0 && found.st_dev == file.device &&
         found.st_ino == file.inode;
}

/// Returns a mount option that is a path; empty: there is none.
std::string path_option(std::string_view options, std::string_view key) {
  while (!options.empty()) {
    const std::string_view one = options.substr(0, options.find(','));
    if (parse::starts_with(one, key)) return detail::unescape(one.substr(key.size()));
    options.remove_prefix(std::min(one.size() + 1, options.size()));
  }
  return {};
}

}  // namespace

FilePaths::FilePaths(const Roots& roots) : sys_(roots.sys) { read(roots, "self"); }

FilePaths::FilePaths(const Roots& roots, const std::string& process)
    : sys_(roots.sys), root_(fs::join(roots.proc, process + "/root")) {
  read(roots, process);
}

void FilePaths::read(const Roots& roots, const std::string& process) {
  const auto text = fs::read_in_root(roots.proc, process + "/mountinfo");
  std::string_view rest = text ? std::string_view(*text) : std::string_view();
  while (!rest.empty()) {
    const detail::MountLine line = detail::parse_mount_line(parse::line(rest));
    mounts_.push_back({line.device, detail::unescape(line.root), detail::unescape(line.mount_point),
                       line.type == "overlay" ? path_option(line.options, "upperdir=") : ""});
  }
}

void FilePaths::resolve(census::PinnedFile& file) const {
  if (file.block_device) return resolve_device(file);
  if (file.deleted || may_not_answer(file.file_system)) return;
  for (const Mount& mount : mounts_) {
    if (mount.device != file.device) continue;
    if (file.path.empty()) {
      file.mount = root_ + mount.point;
      return;
    }
    const auto part = part_below(file.path, mount.root);
    if (!part) continue;
    std::string path = root_ + put_below(mount.point, *part);
    if (!is_file(path, file)) continue;
    file.path = std::move(path);
    file.mount = root_ + mount.point;
    file.proven = true;
    return find_overlay(file);
  }
}

void FilePaths::resolve_device(census::PinnedFile& file) const {
  const std::string number =
      std::to_string(major(file.device)) + ":" + std::to_string(minor(file.device));
  const auto text = fs::read_in_root(sys_, "dev/block/" + number + "/uevent");
  if (!text) return;
  constexpr std::string_view key = "DEVNAME=";
  std::string_view rest = *text;
  while (!rest.empty()) {
    const std::string_view line = parse::line(rest);
    if (parse::starts_with(line, key)) file.path = "/dev/" + std::string(line.substr(key.size()));
  }
  struct ::stat found {};
  file.proven = sys::stat_at(AT_FDCWD, file.path.c_str(), found) == 0 && S_ISBLK(found.st_mode) &&
                found.st_rdev == file.device;
}

void FilePaths::find_overlay(census::PinnedFile& file) const {
  for (const Mount& overlay : mounts_) {
    const auto part = part_below(file.path, overlay.upper);
    if (overlay.upper.empty() || !part) continue;
    std::string path = put_below(overlay.point, *part);
    struct ::stat upper {};
    struct ::stat shown {};
    if (sys::stat_at(AT_FDCWD, file.path.c_str(), upper) != 0 ||
        sys::stat_at(AT_FDCWD, path.c_str(), shown) != 0) {
      continue;
    }
    // An overlay shows the attributes of the file below, under a device number of its own.
    if (upper.st_size != shown.st_size || upper.st_mode != shown.st_mode ||
        upper.st_ctim.tv_sec != shown.st_ctim.tv_sec ||
        upper.st_ctim.tv_nsec != shown.st_ctim.tv_nsec) {
      continue;
    }
    file.overlay = std::move(path);
    return;
  }
}

}  // namespace cgctl::kernel
