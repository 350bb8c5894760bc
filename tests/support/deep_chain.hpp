// SPDX-FileCopyrightText: The cgctl authors
// SPDX-License-Identifier: MIT
#pragma once

#include <fcntl.h>
#include <gtest/gtest.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cerrno>
#include <chrono>
#include <cstddef>
#include <cstring>
#include <string>
#include <thread>
#include <utility>

#include "cgctl/unique_fd.hpp"

namespace cgctl::test {

/// A chain of nested directories, deeper than a process may have descriptors and with paths longer
/// than the kernel accepts. Each is named `name` and has a sibling "z". All are removed at the end.
class DeepChain {
 public:
  DeepChain(const std::string& parent, std::size_t depth, std::string name = "d")
      : parent_(parent), name_(std::move(name)), depth_(depth) {
    UniqueFd at(open(AT_FDCWD, parent_.c_str()));
    for (std::size_t level = 0; level < depth; ++level) {
      for (const char* one : {name_.c_str(), "z"}) {
        if (::mkdirat(at.get(), one, 0755) != 0) {
          ADD_FAILURE() << one << " at level " << level << ": " << std::strerror(errno);
          return;
        }
      }
      at = open(at.get(), name_.c_str());
    }
  }
  DeepChain(const DeepChain&) = delete;
  DeepChain& operator=(const DeepChain&) = delete;
  ~DeepChain() {
    UniqueFd at(open(AT_FDCWD, parent_.c_str()));
    if (!at) return;
    std::size_t levels = 0;
    for (UniqueFd next = open(at.get(), name_.c_str()); next;
         next = open(at.get(), name_.c_str())) {
      at = std::move(next);
      ++levels;
    }
    remove(at.get(), "z");
    for (; levels > 0; --levels) {
      at = open(at.get(), "..");
      remove(at.get(), name_.c_str());
      remove(at.get(), "z");
    }
  }

  /// Returns the number of directories.
  [[nodiscard]] std::size_t size() const noexcept { return 2 * depth_; }
  /// Returns the path of the directory `depth` levels down, relative to the parent: "/d/d/d".
  [[nodiscard]] std::string path(std::size_t depth) const {
    std::string path;
    while (depth-- > 0) path.append("/").append(name_);
    return path;
  }

 private:
  static UniqueFd open(int directory, const char* name) {
    return UniqueFd(::openat(directory, name, O_PATH | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC));
  }
  /// Removes a directory. Retries: a cgroup is busy for a moment after its last process has ended.
  static void remove(int directory, const char* name) {
    int attempts = 500;
    while (::unlinkat(directory, name, AT_REMOVEDIR) != 0 && errno != ENOENT && --attempts > 0) {
      std::this_thread::sleep_for(std::chrono::milliseconds(10));
    }
    EXPECT_NE(attempts, 0) << name << ": " << std::strerror(errno);
  }

  std::string parent_;
  std::string name_;
  std::size_t depth_;
};

/// Limits the process's descriptors for the lifetime of the object.
class FewDescriptors {
 public:
  explicit FewDescriptors(rlim_t most) {
    EXPECT_EQ(::getrlimit(RLIMIT_NOFILE, &before_), 0);
    rlimit few = before_;
    few.rlim_cur = most;
    EXPECT_EQ(::setrlimit(RLIMIT_NOFILE, &few), 0);
  }
  FewDescriptors(const FewDescriptors&) = delete;
  FewDescriptors& operator=(const FewDescriptors&) = delete;
  ~FewDescriptors() { EXPECT_EQ(::setrlimit(RLIMIT_NOFILE, &before_), 0); }

 private:
  rlimit before_{};
};

}  // namespace cgctl::test
