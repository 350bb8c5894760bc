// SPDX-FileCopyrightText: The cgctl authors
// SPDX-License-Identifier: MIT
#pragma once

#include <fcntl.h>

#include <algorithm>
#include <cerrno>
#include <cstddef>
#include <cstdint>
#include <cstring>
#include <memory>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "cgctl/detail/sys.hpp"
#include "cgctl/error.hpp"
#include "cgctl/filesystem.hpp"
#include "cgctl/unique_fd.hpp"
#include "detail/descent.hpp"
#include "detail/directory.hpp"

namespace cgctl::detail {

/// A directory that a walk has found. Valid only during the call that receives it.
struct Step {
  int parent;               ///< descriptor of the parent directory
  const char* name;         ///< name inside `parent`
  const std::string& path;  ///< path from the top of the walk, "/a/b"
};

/// The direction in which a walk continues.
enum class Next {
  inside,  ///< continue with the directories inside this one
  past,    ///< continue with the next sibling
  end,     ///< end the walk
};

/// Walks the directories below a directory at any depth, depth first, each level sorted by name,
/// with few descriptors and without recursion. Never opens directories without subdirectories.
template <class Enter, class Leave>
class TreeWalk {
 public:
  TreeWalk(int top, std::string_view shown, Enter& enter, Leave& leave)
      : shown_(shown), enter_(enter), leave_(leave), descent_(top) {
    constexpr std::size_t directories = 256;
    constexpr std::size_t name_size = 16;
    pending_.reserve(directories);
    names_.reserve(directories * name_size);
    path_.reserve(directories);
  }

  Status run() {
    auto status = list();
    while (status && !pending_.empty()) status = next();
    while (status && descent_.depth() > 0) status = leave_lowest();
    return status;
  }

 private:
  struct Pending {
    std::size_t name;     // offset of its name in names_
    std::size_t first;    // offset of the first name of the same directory
    std::uint32_t depth;  // depth of its parent
    bool is_leaf;
  };

  Status next() {
    while (descent_.depth() > pending_.back().depth) {
      if (auto status = leave_lowest(); !status) return status;
    }
    path_.resize(path_size());
    const Pending one = pending_.back();
    pending_.pop_back();
    path_.append(1, '/').append(names_.data() + one.name);
    if (pending_.empty() || pending_.back().depth != one.depth) names_.resize(one.first);
    const Result<Next> where = enter_(step());
    if (!where) return fail(where.error());
    if (*where == Next::end) pending_.clear();
    if (*where != Next::inside || one.is_leaf) return leave_(step());
    UniqueFd opened(descent_.open(step().name, O_RDONLY));
    if (is_gone(opened.get()) || opened.get() == -ENOTDIR) return leave_(step());
    if (!opened) return failed("open", opened.get());
    descent_.enter(std::move(opened));
    path_sizes_.push_back(path_.size());
    return list();
  }

  /// Adds the directories inside the lowest one to pending_, in reverse order of names.
  Status list() {
    const std::size_t mine = pending_.size();
    const std::size_t first = names_.size();
    const int status = each_subdirectory(
        descent_.fd(), *entries_, [&](const char* name, const struct ::stat& found) {
          pending_.push_back({names_.size(), first, static_cast<std::uint32_t>(descent_.depth()),
                              detail::is_leaf(found)});
          names_.append(name).push_back('\0');
        });
    if (status < 0) return failed("list", status);
    std::sort(pending_.begin() + static_cast<std::ptrdiff_t>(mine), pending_.end(),
              [this](const Pending& a, const Pending& b) {
                return std::strcmp(names_.data() + a.name, names_.data() + b.name) > 0;
              });
    return {};
  }

  Status leave_lowest() {
    path_.resize(path_size());
    path_sizes_.pop_back();
    if (const int status = descent_.leave(); status < 0) return failed("leave", status);
    return leave_(step());
  }

  /// Returns the size of the lowest directory's path.
  [[nodiscard]] std::size_t path_size() const noexcept {
    return path_sizes_.empty() ? 0 : path_sizes_.back();
  }

  [[nodiscard]] Step step() const noexcept {
    return {descent_.fd(), path_.c_str() + path_size() + 1, path_};
  }

  [[nodiscard]] Status failed(const char* operation, int status) const {
    return fail(fs::system_error(operation, fs::join(shown_, path_), -status));
  }

  std::string_view shown_;
  Enter& enter_;
  Leave& leave_;
  Descent descent_;
  std::unique_ptr<Entries> entries_ = make_entries();
  std::vector<Pending> pending_;
  std::string names_;  // names of the pending directories, each NUL-terminated
  std::string path_;   // path of the current directory
  std::vector<std::size_t> path_sizes_;
};

/// Calls `enter(step)`, which returns Result<Next>, for each directory below `directory`, and
/// `leave(step)`, which returns Status, for the same directory after its subdirectories. `shown` is
/// the path of `directory` in errors. A directory that is removed meanwhile counts as empty; the
/// first error ends the walk.
template <class Enter, class Leave>
Status walk_below(int directory, std::string_view shown, Enter enter, Leave leave) {
  struct ::stat self {};
  if (sys::stat(directory, self) == 0 && is_leaf(self)) return {};
  // A new open file description has its own position, so that other listings of the directory are
  // not disturbed.
  const UniqueFd top(sys::open_at(directory, ".", O_RDONLY | O_DIRECTORY));
  if (!top) return fail(fs::system_error("open", shown, -top.get()));
  return TreeWalk<Enter, Leave>(top.get(), shown, enter, leave).run();
}

/// Walks like above, without `leave`.
template <class Enter>
Status walk_below(int directory, std::string_view shown, Enter enter) {
  return walk_below(directory, shown, std::move(enter), [](const Step&) { return Status{}; });
}

/// Calls `visit(step)`, which returns Status, for each directory below `directory`, before its
/// subdirectories. Otherwise like walk_below().
template <class Visit>
Status each_below(int directory, std::string_view shown, Visit visit) {
  return walk_below(directory, shown, [&](const Step& step) -> Result<Next> {
    Status status = visit(step);
    if (!status) return fail(std::move(status.error()));
    return Next::inside;
  });
}

/// Visits like each_below(), but a directory after its subdirectories.
template <class Visit>
Status each_below_inmost_first(int directory, std::string_view shown, Visit visit) {
  const auto enter = [](const Step&) { return Result<Next>(Next::inside); };
  return walk_below(directory, shown, enter, visit);
}

}  // namespace cgctl::detail
