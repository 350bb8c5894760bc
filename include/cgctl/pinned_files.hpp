// SPDX-FileCopyrightText: The cgctl authors
// SPDX-License-Identifier: MIT
#pragma once

#include <sys/types.h>

#include <chrono>
#include <cstddef>
#include <cstdint>
#include <memory>
#include <string>
#include <vector>

#include "cgctl/census.hpp"
#include "cgctl/error.hpp"
#include "cgctl/host.hpp"

/// Finds the files whose pages hold removed memory cgroups. A BPF program follows the kernel's
/// lists of pages and only reads. Nothing is attached to the kernel.
namespace cgctl::census {

/// Consecutive pages of a file; page n begins at byte n * Host::page_size().
struct PageRange {
  std::uint64_t first = 0;
  std::uint64_t count = 0;
};

/// The pages of one file that hold one removed cgroup.
struct Holding {
  std::size_t cgroup = 0;        ///< its place in Snapshot::cgroups
  std::vector<PageRange> pages;  ///< in order, without overlap
};

/// A process that maps a file.
struct Mapper {
  pid_t pid = 0;     ///< in the host's PID namespace
  std::string name;  ///< raw bytes
};

/// A file whose pages hold removed cgroups.
struct PinnedFile {
  /// If `proven`, a path from the root directory of this process. Otherwise the path within the
  /// file system; empty if the kernel has forgotten the name. Raw bytes.
  std::string path;
  /// If `proven`, the mount point that shows the file. Without a path, one of the file system.
  std::string mount;
  std::string overlay;      ///< path in the overlay mount that shows the file; empty: none is known
  std::string file_system;  ///< type, such as "ext4" or "tmpfs"
  std::uint64_t device = 0;  ///< st_dev; of a block device that holds the pages, st_rdev
  std::uint64_t inode = 0;
  std::uint32_t generation = 0;  ///< tells files apart that had the same inode number
  bool proven = false;           ///< stat(2) finds this device and inode at `path`
  bool deleted = false;          ///< has no name any more, but is open or mapped
  bool block_device = false;     ///< the pages are metadata of the file system on the device
  bool mapped = false;           ///< a process maps it
  std::uint64_t pages = 0;       ///< that hold removed cgroups
  std::uint64_t dirty = 0;       ///< pages of these that are not yet written to disk
  std::vector<Holding> holds;    ///< by cgroup
  std::uint64_t mapping = 0;     ///< the kernel's address, for FileFinder; not to be shown
};

/// The files that hold removed cgroups, those that hold the most first.
struct PinnedFiles {
  std::vector<PinnedFile> files;
  std::size_t examined = 0;   ///< removed cgroups whose lists were read to the end
  std::size_t skipped = 0;    ///< removed cgroups left out: time was up, or their pages changed
  std::size_t released = 0;   ///< removed cgroups that were released since the snapshot
  std::size_t anonymous = 0;  ///< removed cgroups that hold anonymous pages, which have no file
  std::size_t unlisted = 0;   ///< removed cgroups without any page on a list
  std::size_t runs = 0;       ///< of the BPF program
  std::chrono::nanoseconds longest_run{};  ///< longest time that one run held the CPU

  [[nodiscard]] bool complete() const noexcept { return skipped == 0; }
};

/// Finds the files again and again; not for concurrent use. About 10 us a removed cgroup that holds
/// one page.
class FileFinder {
 public:
  struct Limits {
    std::chrono::nanoseconds time = std::chrono::seconds(1);  ///< for one take(), without `drain`
    std::vector<std::size_t> cgroups;  ///< the removed cgroups to examine; empty: all
    bool drain = true;  ///< move new pages from the lists of each CPU to where they are found
  };

  /// Loads the program. Needs what Census::open() needs; errc::unsupported if the fields of this
  /// kernel's page cache are not known.
  [[nodiscard]] static Result<FileFinder> open(const Host& host);
  /// Returns why open() cannot work here: no type information, or the kernel does not run the
  /// program (before Linux 5.10). Otherwise nothing.
  [[nodiscard]] static Status supported(const Host& host);
  FileFinder(FileFinder&&) noexcept;
  FileFinder& operator=(FileFinder&&) noexcept;
  ~FileFinder();

  /// Replaces `found`. Each page counted names the removed cgroup as its own and is in the file
  /// when the file is identified. Pages that are new (up to 31 for each CPU) or locked (since
  /// Linux 5.18) are on no list and not found.
  [[nodiscard]] Status take(const Snapshot& snapshot, const Limits& limits, PinnedFiles& found);
  [[nodiscard]] Status take(const Snapshot& snapshot, PinnedFiles& found) {
    return take(snapshot, Limits(), found);
  }

  /// Returns the processes that map the file, in no order. A file that is mapped more than some
  /// 4,000 times may have more.
  [[nodiscard]] Result<std::vector<Mapper>> mappers(const PinnedFile& file);

 private:
  class Pages;
  explicit FileFinder(std::unique_ptr<Pages> pages) noexcept;
  std::unique_ptr<Pages> pages_;
};

}  // namespace cgctl::census
