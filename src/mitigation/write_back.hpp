// SPDX-FileCopyrightText: The cgctl authors
// SPDX-License-Identifier: MIT
#pragma once

#include <fcntl.h>

#include <string>
#include <utility>
#include <vector>

#include "cgctl/detail/sys.hpp"
#include "cgctl/error.hpp"
#include "cgctl/filesystem.hpp"
#include "cgctl/unique_fd.hpp"

namespace cgctl::detail {

/// The file systems to write back, see Policy::sync.
class WriteBack {
 public:
  /// Opens these mount points; none means all file systems.
  [[nodiscard]] static Result<WriteBack> open(const std::vector<std::string>& paths) {
    WriteBack all;
    for (const std::string& path : paths) {
      auto fd = fs::open_trusted(path, O_RDONLY | O_DIRECTORY);
      if (!fd) return fail(fd.error());
      all.mounts_.push_back(std::move(*fd));
    }
    return all;
  }

  /// Waits until the dirty pages and inodes are on the disks. Makes system calls only.
  void run() const noexcept {
    if (mounts_.empty()) sys::sync_all();
    for (const UniqueFd& mount : mounts_) sys::sync_file_system(mount.get());
  }

 private:
  std::vector<UniqueFd> mounts_;
};

}  // namespace cgctl::detail
