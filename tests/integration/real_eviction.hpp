// SPDX-FileCopyrightText: The cgctl authors
// SPDX-License-Identifier: MIT
#pragma once

#include <fcntl.h>
#include <gtest/gtest.h>
#include <sys/mman.h>
#include <unistd.h>

#include <cerrno>
#include <chrono>
#include <cstdlib>
#include <functional>
#include <memory>
#include <string>
#include <vector>

#include "../support/child.hpp"
#include "../support/result.hpp"
#include "../support/skip.hpp"
#include "cgctl/census.hpp"
#include "cgctl/pinned_files.hpp"
#include "mitigation/evict.hpp"
#include "real_cgroups.hpp"

namespace evict_test {

using namespace cgctl;
using namespace std::chrono_literals;
using detail::Evicted;
using detail::Eviction;
using lab::Pin;
using mitigation::Left;
using mitigation::Obstacle;
using mitigation::Policy;

inline UniqueFd new_file(const std::string& path) {
  return UniqueFd(::open(path.c_str(), O_RDWR | O_CREAT | O_EXCL | O_CLOEXEC, 0600));
}

inline std::size_t page_size() { return static_cast<std::size_t>(::getpagesize()); }

/// Writes pages of a file; with `to_disk` they are clean then.
inline int write_pages(int file, std::size_t first, std::size_t count, bool to_disk = true) {
  const std::string content(page_size() * count, static_cast<char>('a' + first % 26));
  const auto place = static_cast<off_t>(first * page_size());
  if (::pwrite(file, content.data(), content.size(), place) !=
      static_cast<ssize_t>(content.size())) {
    return EIO;
  }
  return to_disk && ::fdatasync(file) != 0 ? errno : 0;
}

/// Maps the first pages of a file and reads them. Returns an errno.
inline int map_and_read(int file, std::size_t pages, int more_flags = 0) {
  const int flags = MAP_SHARED | MAP_POPULATE | more_flags;
  void* const at = ::mmap(nullptr, pages * page_size(), PROT_READ, flags, file, 0);
  return at == MAP_FAILED ? errno : 0;
}

/// Returns which of the first `count` pages of a file are in memory: "x" or "." for each.
inline std::string cached(int file, std::size_t count) {
  void* const memory = ::mmap(nullptr, count * page_size(), PROT_READ, MAP_SHARED, file, 0);
  std::vector<unsigned char> in_memory(count);
  EXPECT_EQ(::mincore(memory, count * page_size(), in_memory.data()), 0);
  ::munmap(memory, count * page_size());
  std::string text;
  for (const unsigned char one : in_memory) text += (one & 1) != 0 ? 'x' : '.';
  return text;
}

/// Returns `few`, or the number in CGCTL_RACES in the environment.
inline unsigned races(unsigned few) {
  const char* const told = std::getenv("CGCTL_RACES");
  return told == nullptr ? few : static_cast<unsigned>(std::strtoul(told, nullptr, 10));
}

/// A test that makes files hold removed cgroups, and evicts them.
class RealEviction : public test::RealCgroups {
 protected:
  void SetUp() override {
    test::RealCgroups::SetUp();
    if (IsSkipped() || HasFatalFailure()) return;
    if (!test::kernel_is_at_least(5, 10))
      return test::skip("BPF programs run on demand since 5.10");
    if (::access("/sys/kernel/btf/vmlinux", R_OK) != 0) return test::skip("the kernel has no BTF");
    if (test::kernel_is_at_least(7, 1)) return test::skip("pages move to the parent cgroup");
    files_ = folder(Pin::page_cache);
    if (!files_) return test::skip("no folder on a disk");
    top_ = ::testing::UnitTest::GetInstance()->current_test_info()->name();
    make(top_);
    hand_down(top_);
  }

  /// Does `work` in a new cgroup, which is removed then unless it is to stay.
  void in_cgroup(const std::string& name, const std::function<int()>& work, bool stays = false) {
    const std::string group = top_ + "/" + name;
    make(group);
    EXPECT_EQ(test::in_child([&]() -> std::string {
                int error = test::enter(directory(group));
                if (error == 0) error = work();
                return error == 0 ? "" : std::to_string(error);
              }),
              "");
    if (!stays) remove(group);
  }

  /// True if each inode that was dirty holds its removed cgroup until it is evicted itself.
  [[nodiscard]] bool inodes_hold() const { return v2() && !test::kernel_is_at_least(5, 14); }

  /// Creates a file with `pages` pages in the cache, charged to a cgroup that is then removed.
  UniqueFd pinning_file(const std::string& path, std::size_t pages) {
    UniqueFd created = new_file(path);
    in_cgroup("a", [&] { return write_pages(created.get(), 0, pages); });
    return created;
  }
  /// Creates a file with eight pages in the cache, which no removed cgroup holds.
  static UniqueFd bystander(const std::string& path) {
    UniqueFd created = new_file(path);
    EXPECT_EQ(write_pages(created.get(), 0, 8), 0);
    return created;
  }

  /// Finds the files that hold this test's removed cgroups.
  [[nodiscard]] census::PinnedFiles find() {
    census::PinnedFiles found;
    auto census = census::Census::open(host());
    auto finder = census::FileFinder::open(host());
    EXPECT_TRUE(test::ok(census) && test::ok(finder));
    census::Snapshot snapshot;
    if (!census || !finder || !census->take(snapshot)) return found;
    census::FileFinder::Limits limits;
    for (std::size_t i = 0; i < snapshot.cgroups.size(); ++i) {
      const bool own = snapshot.path(i).rfind(path(top_) + "/", 0) == 0;
      if (!snapshot.cgroups[i].live && own) limits.cgroups.push_back(i);
    }
    if (limits.cgroups.empty()) return found;
    EXPECT_TRUE(test::ok(finder->take(snapshot, limits, found)));
    return found;
  }

  std::vector<Left> evict(const Policy& policy = {}) {
    std::vector<Left> left;
    const auto took = detail::evict(host(), policy, {60s, -1, "", {}}, left);
    EXPECT_TRUE(test::ok(took));
    return left;
  }

  [[nodiscard]] std::string file(const std::string& name) const { return *files_ / name; }

  std::unique_ptr<test::TempDirectory> files_;
  std::string top_;
};

}  // namespace evict_test
