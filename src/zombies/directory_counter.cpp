// SPDX-FileCopyrightText: The cgctl authors
// SPDX-License-Identifier: MIT
#include <fcntl.h>

#include <algorithm>
#include <cerrno>
#include <cstring>
#include <iterator>
#include <memory>
#include <optional>
#include <string>
#include <utility>
#include <vector>

#include "cgctl/filesystem.hpp"
#include "cgctl/zombies.hpp"
#include "detail/descent.hpp"
#include "detail/directory.hpp"

namespace cgctl::zombies {

/// A directory as the last count saw it.
struct DirectoryCounter::Directory {
  /// Device and inode, which differ if another directory has taken the place of this one.
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
  std::vector<Directory> inner;  // subdirectories that have subdirectories
  std::vector<Identity> leaves;  // subdirectories that have none
  std::string leaf_names;        // names of the leaves, each NUL-terminated
  std::uint64_t below = 0;       // number of directories below
  std::uint64_t counted = 0;     // number of the count that last counted it
  UniqueFd kept;

  Directory(const char* its_name, const Identity& its_identity)
      : name(its_name), identity(its_identity) {}
  Directory(Directory&&) noexcept = default;
  Directory& operator=(Directory&&) noexcept = default;
  Directory(const Directory&) = delete;
  Directory& operator=(const Directory&) = delete;
  /// Destroys the tree below without recursion.
  ~Directory() {
    std::vector<Directory> doomed = std::move(inner);
    while (!doomed.empty()) {
      std::vector<Directory> next = std::move(doomed.back().inner);
      doomed.pop_back();
      std::move(next.begin(), next.end(), std::back_inserter(doomed));
    }
  }

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
  [[nodiscard]] std::size_t kept_below() const {
    std::size_t count = 0;
    std::vector<const Directory*> left{this};
    while (!left.empty()) {
      const Directory& directory = *left.back();
      left.pop_back();
      for (const Directory& one : directory.inner) {
        if (one.kept) ++count;
        left.push_back(&one);
      }
    }
    return count;
  }
};

/// One count. Functions that return an int return 0 or a negated errno.
class DirectoryCounter::Walk {
  using Identity = Directory::Identity;

 public:
  /// The result of a look at a directory.
  struct Look {
    int status;  // 0 or a negated errno
    Identity identity;
    nlink_t links;

    static Look at(int fd, const char* name) noexcept {
      struct ::stat found {};
      const int status = sys::stat_at(fd, name, found);
      return {status, Identity(found), found.st_nlink};
    }
    static Look at(int fd) noexcept {
      struct ::stat found {};
      const int status = sys::stat(fd, found);
      return {status, Identity(found), found.st_nlink};
    }
  };

  Walk(std::uint64_t number, std::size_t may_keep, int top) noexcept
      : number_(number), may_keep_(may_keep), descent_(top) {}

  /// Counts the directories below `top`; `links` is its st_nlink.
  int below(Directory& top, nlink_t links) {
    int status = begin(top, links);
    while (status == 0 && !levels_.empty()) status = step();
    return status;
  }

 private:
  /// A directory on the way down.
  struct Level {
    Directory* directory;
    bool learned;          // true if this count has listed it
    bool missed = false;   // true if a subdirectory was gone or replaced
    std::size_t next = 0;  // index in the directory's `inner`
  };

  /// Begins with the lowest directory. `links` is absent if it was just listed.
  int begin(Directory& directory, std::optional<nlink_t> links) {
    const bool learned = !links || !stands(descent_.fd(), directory, *links);
    if (links && learned) {
      if (const int status = learn_again(directory); status < 0) return status;
    }
    levels_.push_back({&directory, learned});
    return 0;
  }

  int step() {
    Level& level = levels_.back();
    std::vector<Directory>& inner = level.directory->inner;
    while (level.next < inner.size() && inner[level.next].counted == number_) ++level.next;
    if (level.next < inner.size()) {
      const int status = enter(inner[level.next++], level.learned);
      if (status != -ENOENT) return status;
      level.missed = true;
      return 0;
    }
    if (level.missed && !level.learned) {
      level = {level.directory, true};
      return learn_again(*level.directory);
    }
    sum(*level.directory);
    levels_.pop_back();
    return levels_.empty() ? 0 : descent_.leave();
  }

  /// Enters a subdirectory. Returns -ENOENT if it is gone or replaced. `learned`: this count listed
  /// its parent.
  int enter(Directory& one, bool learned) {
    if (one.kept) {
      const Look look = Look::at(descent_.fd(), one.name.c_str());
      if (look.status == 0 && look.identity == one.identity) {
        one.counted = number_;
        descent_.enter_kept(one.kept.get());
        return begin(one, look.links);
      }
      one.kept.reset();
      if (!learned) return -ENOENT;
    }
    const bool known = one.inside() != 0;
    UniqueFd opened(descent_.open(one.name.c_str(), known ? O_PATH : O_RDONLY));
    if (detail::is_gone(opened.get()) || opened.get() == -ENOTDIR) return -ENOENT;
    if (!opened) return opened.get();
    std::optional<nlink_t> links;
    if (known) {
      const Look look = Look::at(opened.get());
      if (look.status < 0) return look.status;
      if (look.identity != one.identity && !learned) return -ENOENT;
      one.identity = look.identity;
      links = look.links;
    } else if (const int status = learn(opened.get(), one); status < 0) {
      return status;
    }
    one.counted = number_;
    go_into(one, std::move(opened));
    return begin(one, links);
  }

  void go_into(Directory& one, UniqueFd opened) {
    if (may_keep_ == 0) {
      descent_.enter(std::move(opened));
      return;
    }
    --may_keep_;
    one.kept = std::move(opened);
    descent_.enter_kept(one.kept.get());
  }

  /// True if the known subdirectories are all: their number equals the kernel's, and each leaf
  /// still exists and is still a leaf. The other subdirectories are checked when they are counted.
  /// A removed directory never comes back with the same identity, so every known one existed when
  /// `links` was read.
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

  /// Lists the lowest directory.
  int learn_again(Directory& directory) {
    const UniqueFd opened(descent_.open(".", O_RDONLY));
    if (detail::is_gone(opened.get())) {
      directory.forget_inside();
      return 0;
    }
    return opened ? learn(opened.get(), directory) : opened.get();
  }

  /// Lists the directory opened for reading as `fd`. Keeps the knowledge of its subdirectories.
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

  /// Takes the directory of that name and identity from `sorted`; a new one if it is not known.
  static Directory take(std::vector<Directory>& sorted, const char* name,
                        const Identity& identity) {
    const auto at = std::lower_bound(
        sorted.begin(), sorted.end(), name,
        [](const Directory& one, const char* wanted) { return one.name.compare(wanted) < 0; });
    if (at == sorted.end() || at->name != name || at->identity != identity) {
      return {name, identity};
    }
    Directory taken = std::move(*at);
    at->name = name;  // the name keeps the list sorted for further searches
    return taken;
  }

  /// Adds up the directories below. A subdirectory found to be empty becomes a leaf.
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
  detail::Descent descent_;
  std::vector<Level> levels_;
  std::unique_ptr<detail::Entries> entries_;  // made before the first listing
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
  const std::size_t kept = descriptors_ == 0 ? 0 : top.kept_below();
  return Walk(++counts_, descriptors_ - std::min(descriptors_, kept), directory)
      .below(top, look.links);
}

}  // namespace cgctl::zombies
