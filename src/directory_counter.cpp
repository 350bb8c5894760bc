// SPDX-FileCopyrightText: The cgctl authors
// SPDX-License-Identifier: MIT
#include <fcntl.h>

#include <algorithm>
#include <cerrno>
#include <cstring>
#include <memory>
#include <optional>
#include <string>
#include <utility>
#include <vector>

#include "cgctl/detail/directory.hpp"
#include "cgctl/filesystem.hpp"
#include "cgctl/zombies.hpp"

namespace cgctl::zombies {

/// A directory as the last count found it.
struct DirectoryCounter::Directory {
  /// What tells a directory from another that came in its place.
  struct Identity {
    dev_t device;
    ino_t inode;

    explicit Identity(const struct ::stat& found) noexcept
        : device(found.st_dev), inode(found.st_ino) {}
    bool operator==(const Identity& other) const noexcept {
      return device == other.device && inode == other.inode;
    }
    bool operator!=(const Identity& other) const noexcept { return !(*this == other); }
  };

  std::string name;
  Identity identity;
  std::vector<Directory> inner;  // those inside that have others inside
  std::vector<Identity> leaves;  // those that have none
  std::string leaf_names;        // each with a NUL at its end
  std::uint64_t below = 0;       // directories
  std::uint64_t counted = 0;     // by the count of this number
  UniqueFd kept;

  Directory(const char* its_name, const Identity& its_identity)
      : name(its_name), identity(its_identity) {}

  [[nodiscard]] std::size_t inside() const noexcept { return inner.size() + leaves.size(); }
  void add_leaf(const char* leaf, const Identity& leaf_identity) {
    leaf_names.append(leaf, std::strlen(leaf) + 1);
    leaves.push_back(leaf_identity);
  }
  void forget_inside() noexcept {
    inner.clear();
    leaves.clear();
    leaf_names.clear();
  }
  // NOLINTNEXTLINE(misc-no-recursion): as deep as the hierarchy is.
  [[nodiscard]] std::size_t kept_below() const noexcept {
    std::size_t count = 0;
    for (const Directory& one : inner) count += (one.kept ? 1 : 0) + one.kept_below();
    return count;
  }
};

/// One count. Functions that return an int return 0 or a negated errno.
class DirectoryCounter::Walk {
  using Identity = Directory::Identity;

 public:
  /// What a look at a directory tells. Not inlined, so that the frames of a recursion have no stat.
  struct Look {
    int status;  // 0 or a negated errno
    Identity identity;
    nlink_t links;

    [[gnu::noinline]] static Look at(int fd, const char* name) noexcept {
      struct ::stat found {};
      const int status = sys::stat_at(fd, name, found);
      return {status, Identity(found), found.st_nlink};
    }
    [[gnu::noinline]] static Look at(int fd) noexcept {
      struct ::stat found {};
      const int status = sys::stat(fd, found);
      return {status, Identity(found), found.st_nlink};
    }
  };

  Walk(std::uint64_t number, std::size_t may_keep) noexcept
      : number_(number), may_keep_(may_keep) {}

  /// Below `directory`, which is open as `fd` and has so many links; no number where it was learned
  /// a moment ago.
  // NOLINTNEXTLINE(misc-no-recursion): as deep as the hierarchy is, one descriptor a level.
  int below(int fd, Directory& directory, std::optional<nlink_t> links) {
    if (links && !stands(fd, directory, *links)) {
      if (const int status = learn_again(fd, directory); status < 0) return status;
      links.reset();
    }
    int status = each_inner(fd, directory, !links);
    if (status == -ENOENT && links) {
      if (status = learn_again(fd, directory); status < 0) return status;
      status = each_inner(fd, directory, true);
    }
    if (status < 0 && status != -ENOENT) return status;
    sum(directory);
    return 0;
  }

 private:
  /// Those that this count has not seen yet. -ENOENT when one was gone, or another in its place.
  // NOLINTNEXTLINE(misc-no-recursion)
  int each_inner(int fd, Directory& directory, bool learned) {
    int result = 0;
    for (Directory& one : directory.inner) {
      if (one.counted == number_) continue;
      const int status = inner(fd, one, learned);
      if (status < 0 && status != -ENOENT) return status;
      if (status < 0) result = status;
    }
    return result;
  }

  /// `learned`: the list that has it was made by this count.
  // NOLINTNEXTLINE(misc-no-recursion)
  int inner(int fd, Directory& one, bool learned) {
    if (one.kept) {
      const Look look = Look::at(fd, one.name.c_str());
      if (look.status == 0 && look.identity == one.identity) {
        one.counted = number_;
        return below(one.kept.get(), one, look.links);
      }
      one.kept.reset();
      if (!learned) return -ENOENT;
    }
    const bool known = one.inside() != 0;
    const int opened =
        sys::open_at(fd, one.name.c_str(), (known ? O_PATH : O_RDONLY) | O_DIRECTORY | O_NOFOLLOW);
    if (detail::is_gone(opened) || opened == -ENOTDIR) return -ENOENT;
    if (opened < 0) return opened;
    UniqueFd descriptor(opened);
    std::optional<nlink_t> links;
    if (known) {
      const Look look = Look::at(opened);
      if (look.status < 0) return look.status;
      if (look.identity != one.identity && !learned) return -ENOENT;
      one.identity = look.identity;
      links = look.links;
    } else if (const int status = learn(opened, one); status < 0) {
      return status;
    }
    one.counted = number_;
    if (may_keep_ == 0) return below(opened, one, links);
    --may_keep_;
    one.kept = std::move(descriptor);
    return below(opened, one, links);
  }

  /// Whether what is known is all there is: as many inside as the kernel counts, and each leaf
  /// still there and still a leaf; the others show it when they are counted. All that are known
  /// were there when the links were read, since none that is removed comes again as itself.
  static bool stands(int fd, const Directory& directory, nlink_t links) {
    if (links != 2 + directory.inside()) return false;
    const char* name = directory.leaf_names.data();
    for (const Identity& leaf : directory.leaves) {
      const Look look = Look::at(fd, name);
      if (look.status < 0 || look.identity != leaf || look.links != 2) return false;
      name += std::strlen(name) + 1;
    }
    return true;
  }

  int learn_again(int fd, Directory& directory) {
    const int opened = sys::open_at(fd, ".", O_RDONLY | O_DIRECTORY);
    if (detail::is_gone(opened)) {
      directory.forget_inside();
      return 0;
    }
    if (opened < 0) return opened;
    const UniqueFd listed(opened);
    return learn(opened, directory);
  }

  /// Lists what was opened for reading as `fd`. What was known below those inside is kept.
  int learn(int fd, Directory& directory) {
    std::vector<Directory> before = std::move(directory.inner);
    std::sort(before.begin(), before.end(),
              [](const Directory& a, const Directory& b) { return a.name < b.name; });
    directory.forget_inside();
    if (!entries_) entries_ = detail::make_entries();
    return detail::each_subdirectory(
        fd, *entries_, [&](const char* name, const struct ::stat& found) {
          if (detail::is_leaf(found)) {
            directory.add_leaf(name, Identity(found));
          } else {
            directory.inner.push_back(take(before, name, Identity(found)));
          }
        });
  }

  /// What is known of that directory, of some sorted by name.
  static Directory take(std::vector<Directory>& sorted, const char* name,
                        const Identity& identity) {
    const auto at = std::lower_bound(
        sorted.begin(), sorted.end(), name,
        [](const Directory& one, const char* wanted) { return one.name.compare(wanted) < 0; });
    if (at == sorted.end() || at->name != name || at->identity != identity) {
      return {name, identity};
    }
    Directory taken = std::move(*at);
    at->name = name;  // by which the others are found
    return taken;
  }

  /// Adds up what is there; what turned out to have none inside is a leaf.
  void sum(Directory& directory) const {
    auto& inner = directory.inner;
    directory.below = 0;
    for (const Directory& one : inner) {
      if (one.counted != number_) continue;
      directory.below += one.below;
      if (one.inside() == 0) directory.add_leaf(one.name.c_str(), one.identity);
    }
    inner.erase(std::remove_if(inner.begin(), inner.end(),
                               [this](const Directory& one) {
                                 return one.counted != number_ || one.inside() == 0;
                               }),
                inner.end());
    directory.below += directory.inside();
  }

  std::uint64_t number_;
  std::size_t may_keep_;
  std::unique_ptr<detail::Entries> entries_;  // once there is something to list
};

DirectoryCounter::DirectoryCounter(std::size_t descriptors) noexcept : descriptors_(descriptors) {}
DirectoryCounter::DirectoryCounter(DirectoryCounter&&) noexcept = default;
DirectoryCounter& DirectoryCounter::operator=(DirectoryCounter&&) noexcept = default;
DirectoryCounter::~DirectoryCounter() = default;

Result<std::uint64_t> DirectoryCounter::count(int directory, std::string_view shown) {
  for (;;) {
    const int status = count_known(directory);
    if (status == 0) return known_.front().below + 1;
    if (!detail::too_many_are_open(status) || descriptors_ == 0)
      return fail(fs::system_error("walk", shown, -status));
    known_.clear();
    descriptors_ = 0;
  }
}

int DirectoryCounter::count_known(int directory) {
  const Walk::Look look = Walk::Look::at(directory);
  if (look.status < 0) return look.status;
  if (known_.empty() || known_.front().identity != look.identity) {
    known_.clear();
    known_.emplace_back("", look.identity);
  }
  Directory& top = known_.front();
  return Walk(++counts_, descriptors_ - std::min(descriptors_, top.kept_below()))
      .below(directory, top, look.links);
}

Result<std::uint64_t> count_directories(int directory, std::string_view shown) {
  return DirectoryCounter().count(directory, shown);
}

}  // namespace cgctl::zombies
