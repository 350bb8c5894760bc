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

/// Tests on this host's cgroups. Each has a cgroup of its own, /cgctl-test-PID, removed at its end
/// with all that is below, from every hierarchy; skipped where none can be made.
class RealCgroups : public ::testing::Test {
 protected:
  enum class Needs { memory, cpu_at_least };

  explicit RealCgroups(Needs needs = Needs::memory) : needs_(needs) {}
  void SetUp() override;
  void TearDown() override;

  [[nodiscard]] const Host& host() const { return *host_; }
  /// That of the memory controller; of cpu where that is enough and there is no other.
  [[nodiscard]] const Hierarchy& hierarchy() const { return *host_->find(controller_); }
  [[nodiscard]] bool v2() const { return hierarchy().version == Version::v2; }
  [[nodiscard]] bool has_memory() const { return controller_ == memory_controller; }

  /// The cgroup path of the test's own group, or of one below it.
  [[nodiscard]] std::string path(std::string_view below = {}) const;
  /// Where that is in the file system.
  [[nodiscard]] std::string directory(std::string_view below = {}) const;
  void make(std::string_view below) const;
  void remove(std::string_view below) const;

  /// A fresh folder on a disk, or on tmpfs; nothing where there is no such file system.
  [[nodiscard]] std::unique_ptr<TempDirectory> folder(lab::Pin pin) const;
  /// Makes and removes `number` files in a folder on a disk. Who first reads a block of ext4's
  /// inode table is charged for it, and the journal keeps it: one in 16 new files of a fresh file
  /// system.
  static void read_inode_tables(const TempDirectory& files, unsigned number);
  /// Makes zombies below `below`, which it makes first. Their files are in `files`, which must
  /// outlive them.
  [[nodiscard]] Result<lab::ZombieMaker> zombies(lab::Pin pin, const TempDirectory& files,
                                                 std::string_view below = "zombies") const;

  /// The number of zombies when it has fallen to the limit, or after a while.
  [[nodiscard]] std::uint64_t falls_to(std::uint64_t limit) const;
  /// How many zombies there are once the number stands still.
  [[nodiscard]] std::uint64_t settled() const;

 private:
  static constexpr const char* memory_controller = "memory";

  Needs needs_;
  std::string controller_ = memory_controller;
  const std::string name_ = "cgctl-test-" + std::to_string(::getpid());
  std::optional<Host> host_;
  bool handed_down_ = false;
};

/// A process that lives in a cgroup until the end of the object.
class Tenant {
 public:
  /// In the directory `group`; it does `work` (0 is success) before the constructor returns, and
  /// then waits.
  Tenant(const std::string& group, const std::function<int()>& work);
  Tenant(const Tenant&) = delete;
  Tenant& operator=(const Tenant&) = delete;
  ~Tenant();

 private:
  pid_t process_ = -1;
};

/// Whether anybody writes a file of the kernel (inotify(7), IN_MODIFY), from the constructor on.
class Writes {
 public:
  explicit Writes(const std::string& file);
  /// Since it was asked last.
  [[nodiscard]] bool seen() const;

 private:
  UniqueFd notices_;
};

/// Whether this is Linux `version`.`patch` or a later one.
bool kernel_is_at_least(unsigned version, unsigned patch);

/// Moves the calling process into the cgroup at `directory`; an errno.
int enter(const std::string& directory);

/// For figures of the whole machine, which others move as well: does `work` until it has no
/// complaint, at most `times`. Returns the last complaint.
std::string persist(unsigned times, const std::function<std::string()>& work);

/// Polls for a while until `reached`; what it said last.
bool eventually(const std::function<bool()>& reached);

/// How often anybody has dropped caches on this machine.
std::uint64_t cache_drops();

/// The numbers of this machine's block devices, "254:0".
std::vector<std::string> block_devices();

}  // namespace cgctl::test
