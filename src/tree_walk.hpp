// SPDX-FileCopyrightText: The cgctl authors
// SPDX-License-Identifier: MIT
#pragma once

#include <fcntl.h>

#include <cerrno>
#include <cstring>
#include <memory>
#include <vector>

#include "cgctl/detail/directory.hpp"
#include "cgctl/detail/sys.hpp"
#include "cgctl/unique_fd.hpp"

namespace cgctl::detail {

/// Walks all directories below one, depth first; those without directories inside are never opened.
/// Names that have still to be opened wait in one arena, so that one buffer for entries serves all
/// levels; both are kept for the next walk. `Visitor` is told
///     found(name)   of each directory, inside the one entered last,
///     enter(name)   before those inside a directory found before, leave() after them,
///     lost()        when one that was found is gone by the time it is opened.
class TreeWalk {
 public:
  /// 0 or a negated errno.
  template <class Visitor>
  int below(int directory, Visitor& visitor) {
    const int opened = sys::open_at(directory, ".", O_RDONLY | O_DIRECTORY);
    if (opened < 0) return opened;
    const UniqueFd fd(opened);
    pending_.clear();
    return descend(fd.get(), visitor);
  }

 private:
  template <class Visitor>
  // NOLINTNEXTLINE(misc-no-recursion): as deep as the hierarchy is, one descriptor a level.
  int descend(int fd, Visitor& visitor) {
    const std::size_t mine = pending_.size();
    const int status =
        each_subdirectory(fd, *entries_, [&](const char* name, const struct ::stat& found) {
          visitor.found(name);
          if (!is_leaf(found)) pending_.insert(pending_.end(), name, name + std::strlen(name) + 1);
        });
    if (status < 0) return status;
    const std::size_t end = pending_.size();
    for (std::size_t at = mine; at < end;) {
      const char* const name = pending_.data() + at;
      const std::size_t size = std::strlen(name) + 1;
      const int opened = sys::open_at(fd, name, O_RDONLY | O_DIRECTORY | O_NOFOLLOW);
      at += size;
      if (is_gone(opened)) {
        visitor.lost();
        continue;
      }
      if (opened < 0) return opened;
      const UniqueFd child(opened);
      visitor.enter(name);
      if (const int inner = descend(child.get(), visitor); inner < 0) return inner;
      visitor.leave();
    }
    pending_.resize(mine);
    return 0;
  }

  std::unique_ptr<Entries> entries_ = make_entries();
  std::vector<char> pending_;
};

}  // namespace cgctl::detail
