// SPDX-FileCopyrightText: The cgctl authors
// SPDX-License-Identifier: MIT
#pragma once

#include <cstddef>
#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

#include "cgctl/recorder.hpp"
#include "cgctl/unique_fd.hpp"
#include "recorder/pages.hpp"

namespace cgctl::recorder {

/// The records read in one go, in the order of their times.
struct Batch {
  std::vector<Event> events;
  std::uint64_t lost = 0;          ///< overwritten before they were read
  std::vector<std::string> pages;  ///< hold the paths of `events`
};

/// A tracing instance that records.
class Instance {
 public:
  /// errc::vanished if there is no such instance or it does not record.
  static Result<Instance> open(const Host& host, const std::string& name);

  /// Returns a number that a new instance of the same name does not have.
  [[nodiscard]] std::uint64_t identity() const noexcept { return identity_; }
  /// Returns the time at which the instance was made, in CLOCK_BOOTTIME.
  [[nodiscard]] std::chrono::seconds made() const noexcept { return made_; }
  /// True if a cgroup's ID is the inode of its directory.
  [[nodiscard]] bool inodes() const noexcept;

  /// Returns the number of records that anybody has read from the instance.
  [[nodiscard]] Result<std::uint64_t> consumed() const;
  /// Reads all records; nobody can read them again.
  [[nodiscard]] Result<Batch> drain() const;

 private:
  Instance() = default;
  Status read_formats();
  Status drain_cpu(const std::string& cpu, Batch& batch) const;

  UniqueFd directory_;
  std::string shown_;
  std::uint64_t identity_ = 0;
  std::chrono::seconds made_{};
  std::vector<std::string> cpus_;
  std::array<Format, 3> formats_{};
  PageFormat page_{};
};

}  // namespace cgctl::recorder
