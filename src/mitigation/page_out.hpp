// SPDX-FileCopyrightText: The cgctl authors
// SPDX-License-Identifier: MIT
#pragma once

#include <sys/types.h>

#include <chrono>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "cgctl/host.hpp"
#include "cgctl/pinned_files.hpp"
#include "mitigation/evict_search.hpp"

namespace cgctl::detail {

/// Drops pages of files that one running process maps, and no other: MADV_PAGEOUT in
/// process_madvise(2), Linux 5.10. The kernel unmaps such a page and drops it if it is clean; the
/// process reads it again when it needs it. A page that two processes map stays.
class PageOut {
 public:
  using Clock = std::chrono::steady_clock;

  /// Looks only at these processes. Their numbers are valid if `host` shows the PID namespace of
  /// this process in procfs; otherwise none is looked at.
  PageOut(const Host& host, std::vector<pid_t> processes);

  /// Adds a file, by the device and inode that /proc/PID/maps shows. Its pages are dropped if
  /// `written` is true by then. Both are referred to, not copied.
  void add(FileId file, const std::vector<census::PageRange>& pages, const bool& written);

  /// Drops the pages, process by process until `end`. A mapping is compared with the files right
  /// before its pages are dropped. Makes system calls only.
  void run(Clock::time_point end) const noexcept;

 private:
  struct File {
    FileId id;
    const std::vector<census::PageRange>* pages;
    const bool* written;
  };
  static bool comes_before(const File& file, const FileId& id) noexcept { return file.id < id; }
  struct Process {
    pid_t number;
    std::string maps, page_map;
  };
  struct Handles;
  void run(const Process& process) const noexcept;
  void run(const Handles& handles, std::string_view line) const noexcept;
  void drop(const Handles& handles, std::uint64_t address, std::uint64_t pages) const noexcept;

  std::uint64_t page_size_;
  std::vector<Process> processes_;
  std::vector<File> files_;  // by id
};

}  // namespace cgctl::detail
