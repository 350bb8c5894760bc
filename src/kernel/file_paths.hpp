// SPDX-FileCopyrightText: The cgctl authors
// SPDX-License-Identifier: MIT
#pragma once

#include <sys/types.h>

#include <string>
#include <vector>

#include "cgctl/host.hpp"
#include "cgctl/pinned_files.hpp"

namespace cgctl::kernel {

/// Turns a path within a file system into one that this process can use, by its table of mounts.
class FilePaths {
 public:
  explicit FilePaths(const Roots& roots);
  /// Uses the mounts of another process: paths begin with its root directory in procfs.
  FilePaths(const Roots& roots, const std::string& process);

  /// Replaces `path` if a mount shows the file there, and stat(2) proves it. Names an overlay that
  /// has the file in its upper layer. A network's file system is not asked: it may not answer. A
  /// file without a path only gets a mount of its file system.
  void resolve(census::PinnedFile& file) const;

 private:
  struct Mount {
    dev_t device;
    std::string root;
    std::string point;
    std::string upper;  // of an overlay: the directory that has its changed files
  };
  void resolve_device(census::PinnedFile& file) const;
  void find_overlay(census::PinnedFile& file) const;

  void read(const Roots& roots, const std::string& process);

  std::string sys_;
  std::string root_;  // put before paths
  std::vector<Mount> mounts_;
};

}  // namespace cgctl::kernel
