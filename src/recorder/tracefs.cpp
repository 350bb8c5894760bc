// SPDX-FileCopyrightText: The cgctl authors
// SPDX-License-Identifier: MIT
#include "recorder/tracefs.hpp"

#include <fcntl.h>

#include <cerrno>
#include <utility>

#include "cgctl/detail/sys.hpp"
#include "cgctl/filesystem.hpp"

namespace cgctl::recorder {
namespace {

/// Mounts tracefs where no path leads to it.
Result<Tracefs> mount_tracefs() {
  const int fd = sys::mount_nowhere("tracefs");
  if (fd >= 0) return Tracefs{UniqueFd(fd), "tracefs"};
  Error error = Error::system("mount", "tracefs", -fd);
  if (fd == -ENODEV) {
    error.kind = errc::unsupported;
    error.reason = "this kernel has no tracefs";
    error.hint = "a kernel with CONFIG_EVENT_TRACING is needed";
  } else if (fd == -ENOSYS) {
    error.hint = "mount it: mount -t tracefs nodev /sys/kernel/tracing";
  }
  return fail(explain(std::move(error)));
}

}  // namespace

Error explain(Error error) {
  if (error.os_errno == EPERM || error.os_errno == EACCES) {
    error.hint =
        "run as root of the host; as root, a user namespace, a seccomp filter or kernel lockdown "
        "(see /sys/kernel/security/lockdown) refuses";
  }
  return error;
}

Result<UniqueFd> open_file(int directory, const std::string& shown, const std::string& path,
                           int flags) {
  auto file = fs::open_beneath(directory, path, flags, fs::join(shown, path));
  if (!file) return fail(explain(file.error()));
  return file;
}

Result<std::string> read_file(int directory, const std::string& shown, const std::string& path) {
  const auto file = open_file(directory, shown, path, O_RDONLY);
  if (!file) return fail(file.error());
  return fs::read_all(file->get(), fs::join(shown, path));
}

Status write_file(const Tracefs& instance, const std::string& path, const std::string& value) {
  const auto file = open_file(instance.directory.get(), instance.shown, path, O_WRONLY);
  if (!file) return fail(file.error());
  return fs::write_once(file->get(), value, fs::join(instance.shown, path), {tracefs_magic});
}

Result<Tracefs> open_tracefs(const Host& host) {
  for (const char* const place : {"kernel/tracing", "kernel/debug/tracing"}) {
    auto directory = fs::open_in_root(host.roots().sys, place, O_PATH | O_DIRECTORY);
    if (directory && sys::file_system(directory->get()) == tracefs_magic) {
      return Tracefs{std::move(*directory), fs::join(host.roots().sys, place)};
    }
  }
  if (host.live()) return mount_tracefs();
  return fail(Error::make(errc::unsupported, "open", fs::join(host.roots().sys, "kernel/tracing"),
                          "the records of a kernel are not part of a captured tree"));
}

}  // namespace cgctl::recorder
