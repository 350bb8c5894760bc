// SPDX-FileCopyrightText: The cgctl authors
// SPDX-License-Identifier: MIT
#pragma once

#include <gtest/gtest.h>
#include <sys/types.h>
#include <unistd.h>

#include <cstdint>
#include <functional>
#include <memory>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "../../examples/zombie_maker.hpp"
#include "../support/temp_directory.hpp"
#include "cgctl/host.hpp"
#include "cgctl/unique_fd.hpp"

namespace cgctl::test {

/// A test on this host's cgroups. Each test has its own cgroup /cgctl-test-PID in every hierarchy,
/// which is removed at the end with all cgroups below it. The test skips where cgroups cannot be
/// created.
class RealCgroups : public ::testing::Test {
 protected:
  enum class Needs { memory, cpu_at_least };

  explicit RealCgroups(Needs needs = Needs::memory) : needs_(needs) {}
  void SetUp() override;
  void TearDown() override;

  [[nodiscard]] const Host& host() const { return *host_; }
  /// Returns the memory controller's hierarchy; or cpu's, if the test needs no more and memory has
  /// none.
  [[nodiscard]] const Hierarchy& hierarchy() const { return *host_->find(controller_); }
  [[nodiscard]] bool v2() const { return hierarchy().version == Version::v2; }
  [[nodiscard]] bool has_memory() const { return controller_ == memory_controller; }

  /// Returns the cgroup path of the test's own cgroup, or of a cgroup below it.
  [[nodiscard]] std::string path(std::string_view below = {}) const;
  /// Returns the directory of the test's own cgroup, or of a cgroup below it.
  [[nodiscard]] std::string directory(std::string_view below = {}) const;
  void make(std::string_view below) const;
  void remove(std::string_view below) const;
  /// Gives the cgroups below this one the controller. On v1 they have it anyway.
  void hand_down(std::string_view below) const;

  /// Returns a new folder on a disk or on tmpfs; null if there is no such file system.
  [[nodiscard]] std::unique_ptr<TempDirectory> folder(lab::Pin pin) const;
  /// Creates and deletes `number` files in a folder on a disk, so that the blocks of ext4's inode
  /// table are in memory. The cgroup that first reads such a block is charged for it, and the
  /// journal keeps the block: with a fresh file system one new file in 16 reads one.
  static void read_inode_tables(const TempDirectory& files, unsigned number);
  /// Creates the cgroup `below` and makes zombies in it. Their files are in `files`, which must
  /// outlive them.
  [[nodiscard]] Result<lab::ZombieMaker> zombies(lab::Pin pin, const TempDirectory& files,
                                                 std::string_view below = "zombies") const;

  /// Waits until the number of zombies has fallen to `limit`, but not for ever. Returns the number.
  [[nodiscard]] std::uint64_t falls_to(std::uint64_t limit) const;
  /// Waits until the number of zombies no longer changes. Returns it.
  [[nodiscard]] std::uint64_t settled() const;

 private:
  static constexpr const char* memory_controller = "memory";

  Needs needs_;
  std::string controller_ = memory_controller;
  const std::string name_ = "cgctl-test-" + std::to_string(::getpid());
  std::optional<Host> host_;
  bool handed_down_ = false;
};

/// A test on this host's cgroups that takes a census with the kernel's type information.
class CensusCgroups : public RealCgroups {
 protected:
  void SetUp() override;
};

/// A process that lives in a cgroup for the lifetime of the object.
class Tenant {
 public:
  /// Starts a process in the directory `group`. It does `work` (which returns 0 or an errno) before
  /// the constructor returns, and then waits.
  Tenant(const std::string& group, const std::function<int()>& work);
  Tenant(const Tenant&) = delete;
  Tenant& operator=(const Tenant&) = delete;
  ~Tenant();

 private:
  pid_t process_ = -1;
};

/// Notices writes to one of the kernel's files (inotify(7), IN_MODIFY).
class Writes {
 public:
  explicit Writes(const std::string& file);
  /// True if anybody has written since the last call, or since the constructor.
  [[nodiscard]] bool seen() const;

 private:
  UniqueFd notices_;
};

/// True if this is Linux `version`.`patch` or later.
bool kernel_is_at_least(unsigned version, unsigned patch);

/// Moves the calling process into the cgroup at `directory`. Returns an errno, 0 for success.
int enter(const std::string& directory);

/// Repeats `work` until it returns no complaint, at most `times` times. For figures of the whole
/// machine, which other programs change too. Returns the last complaint.
std::string persist(unsigned times, const std::function<std::string()>& work);

/// Polls until `reached` returns true, for a limited time. Returns the last result.
bool eventually(const std::function<bool()>& reached);

/// Returns the number of times that caches were dropped on this machine.
std::uint64_t cache_drops();

/// Returns the numbers of this machine's block devices, such as "254:0".
std::vector<std::string> block_devices();

}  // namespace cgctl::test
