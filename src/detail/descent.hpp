// SPDX-FileCopyrightText: The cgctl authors
// SPDX-License-Identifier: MIT
#pragma once

#include <fcntl.h>
#include <sys/stat.h>

#include <cerrno>
#include <cstddef>
#include <utility>
#include <vector>

#include "cgctl/detail/sys.hpp"
#include "cgctl/unique_fd.hpp"
#include "detail/directory.hpp"

namespace cgctl::detail {

/// The open directories on the way from one directory down to another, at any depth: a user with a
/// delegated cgroup can nest thousands. Keeps the lowest `most_open` directories open, fewer if the
/// process runs out of descriptors. A closed directory is opened again on the way back and must be
/// the same one (st_dev and st_ino).
class Descent {
 public:
  /// More levels than container runtimes use today, so that their cgroups are opened only once.
  static constexpr std::size_t most_open = 32;

  /// `top` must stay open meanwhile.
  explicit Descent(int top) noexcept : top_(top) {}

  /// Returns the descriptor of the lowest directory.
  [[nodiscard]] int fd() const noexcept { return levels_.empty() ? top_ : levels_.back().fd(); }
  /// Returns the number of directories below the top.
  [[nodiscard]] std::size_t depth() const noexcept { return levels_.size(); }

  /// Opens a directory inside the lowest one. Returns a descriptor or a negated errno.
  int open(const char* name, int flags) {
    flags |= O_DIRECTORY | O_NOFOLLOW;
    int opened = sys::open_at(fd(), name, flags);
    while (too_many_are_open(opened) && close_highest()) opened = sys::open_at(fd(), name, flags);
    return opened;
  }

  /// Enters a directory that was opened inside the lowest one; it becomes the lowest.
  void enter(UniqueFd opened) { add({std::move(opened)}); }
  /// Enters a directory whose descriptor the caller keeps open until it is left.
  void enter_kept(int kept) { add({UniqueFd(), kept}); }

  /// Goes back to the parent directory. Returns 0 or a negated errno: -ESTALE if the parent is a
  /// different directory now.
  int leave() {
    const Level left = std::move(levels_.back());
    levels_.pop_back();
    if (first_open_ < levels_.size() || levels_.empty()) return 0;
    first_open_ = levels_.size() - 1;
    return levels_.back().is_open() ? 0 : open_above(left.fd());
  }

 private:
  struct Level {
    UniqueFd own;
    int kept = -1;
    dev_t device = 0;  // device and inode are set once it is closed
    ino_t inode = 0;

    [[nodiscard]] bool is_open() const noexcept { return own || kept >= 0; }
    [[nodiscard]] int fd() const noexcept { return own ? own.get() : kept; }
  };

  void add(Level level) {
    if (levels_.size() - first_open_ >= most_open) close_highest();
    levels_.push_back(std::move(level));
  }

  /// Closes the highest open directory. Returns false if only the lowest is open.
  bool close_highest() noexcept {
    if (first_open_ + 1 >= levels_.size()) return false;
    Level& level = levels_[first_open_];
    struct ::stat found {};
    if (level.own && sys::stat(level.own.get(), found) < 0) return false;
    level.device = found.st_dev;
    level.inode = found.st_ino;
    level.own.reset();
    ++first_open_;
    return true;
  }

  /// Opens the lowest directory again, from the directory that was left.
  int open_above(int left) noexcept {
    UniqueFd opened(sys::open_at(left, "..", O_PATH | O_DIRECTORY));
    if (!opened) return opened.get();
    struct ::stat found {};
    if (const int status = sys::stat(opened.get(), found); status < 0) return status;
    Level& level = levels_.back();
    if (found.st_dev != level.device || found.st_ino != level.inode) return -ESTALE;
    level.own = std::move(opened);
    return 0;
  }

  int top_;
  std::vector<Level> levels_;
  std::size_t first_open_ = 0;  // index in levels_ of the first open one; all after it are open
};

}  // namespace cgctl::detail
