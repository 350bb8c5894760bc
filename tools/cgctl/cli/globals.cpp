// SPDX-FileCopyrightText: The cgctl authors
// SPDX-License-Identifier: MIT
#include "cli/globals.hpp"

#include <fcntl.h>
#include <sys/vfs.h>

#include <algorithm>

#include "cgctl/filesystem.hpp"

namespace cgctl::tool {
namespace {

/// Returns the file system's magic number, see statfs(2); 0 if it cannot be read.
std::int64_t file_system(int fd) {
  struct ::statfs about {};
  return ::fstatfs(fd, &about) == 0 ? static_cast<std::int64_t>(about.f_type) : 0;
}

bool is_real(const Hierarchy& hierarchy) {
  const std::int64_t magic = file_system(hierarchy.directory.get());
  return magic == fs::cgroup_v1_magic || magic == fs::cgroup_v2_magic;
}

Status check_root(const std::string& root, std::int64_t magic, const char* reason) {
  const auto directory = fs::open_trusted(root, O_PATH | O_DIRECTORY);
  if (!directory) return fail(directory.error());
  if (file_system(directory->get()) == magic) return {};
  return fail(Error::make(errc::outside, "change cgroups with", root, reason,
                          "nothing was done; give --cgroup-root, --proc-root and --sys-root of "
                          "one machine"));
}

}  // namespace

Result<Host> host_to_change(const Globals& globals) {
  const Roots& roots = globals.roots;
  auto host = Host::detect(roots);
  const bool usual_sysfs = roots.sys == Roots{}.sys;
  if (!host || (host->live() && usual_sysfs)) return host;
  const auto& all = host->hierarchies();
  if (std::none_of(all.begin(), all.end(), is_real)) return host;
  auto status = check_root(roots.proc, fs::proc_magic,
                           "not a procfs, although the cgroups are the running kernel's");
  if (status && !usual_sysfs) {
    status = check_root(roots.sys, fs::sysfs_magic,
                        "not a sysfs, although the cgroups are the running kernel's");
  }
  if (!status) return fail(status.error());
  return host;
}

}  // namespace cgctl::tool
