// SPDX-FileCopyrightText: The cgctl authors
// SPDX-License-Identifier: MIT
#include <fcntl.h>

#include <algorithm>
#include <cerrno>
#include <cstring>
#include <optional>
#include <string>
#include <utility>
#include <vector>

#include "cgctl/detail/directory.hpp"
#include "cgctl/filesystem.hpp"
#include "cgctl/zombies.hpp"

namespace cgctl::zombies {

/// What the last count found, and the count that is under way. Functions that return an int return
/// 0 or a negated errno.
struct DirectoryCounter::Known {
  struct Directory {
    std::string name;
    std::vector<Directory> inner;  // those inside that have others inside
    std::string leaves;            // the names of those that have none, each with a NUL at its end
    std::size_t leaf_count = 0;
    std::uint64_t below = 0;    // directories
    std::uint64_t counted = 0;  // by the count of this number
    UniqueFd kept;
    ino_t inode = 0;  // of what is kept

    [[nodiscard]] std::size_t inside() const noexcept { return inner.size() + leaf_count; }
  };

  explicit Known(std::size_t descriptors) : most_kept(descriptors) {}

  int count(int directory) {
    struct ::stat found {};
    if (const int status = sys::stat(directory, found); status < 0) return status;
    ++counts;
    const int status = count_below(directory, top, found.st_nlink);
    kept = kept_below(top);
    return status;
  }

  Directory top;
  std::size_t most_kept;
  std::size_t kept = 0;

 private:
  /// Below `directory`, which is open as `fd` and has so many links; no number where it was learned
  /// a moment ago.
  // NOLINTNEXTLINE(misc-no-recursion): as deep as the hierarchy is, one descriptor a level.
  int count_below(int fd, Directory& directory, std::optional<nlink_t> links) {
    if (links && !stands(fd, directory, *links)) {
      if (const int status = learn_again(fd, directory); status < 0) return status;
      links.reset();
    }
    int status = count_inner(fd, directory);
    if (status == -ENOENT && links) {
      // Another can have come in the place of what is gone.
      if (status = learn_again(fd, directory); status < 0) return status;
      status = count_inner(fd, directory);
    }
    if (status < 0 && status != -ENOENT) return status;
    auto& inner = directory.inner;
    inner.erase(std::remove_if(inner.begin(), inner.end(),
                               [this](const Directory& one) { return one.counted != counts; }),
                inner.end());
    directory.below = directory.inside();
    for (const Directory& one : inner) directory.below += one.below;
    return 0;
  }

  /// Those that this count has not seen yet; -ENOENT when one of them was gone.
  // NOLINTNEXTLINE(misc-no-recursion)
  int count_inner(int fd, Directory& directory) {
    int result = 0;
    for (Directory& one : directory.inner) {
      if (one.counted == counts) continue;
      const int status = count_one(fd, one);
      if (status < 0 && status != -ENOENT) return status;
      if (status < 0) result = status;
    }
    return result;
  }

  // NOLINTNEXTLINE(misc-no-recursion)
  int count_one(int fd, Directory& one) {
    struct ::stat found {};
    if (one.kept) {
      const int status = sys::stat_at(fd, one.name.c_str(), found);
      if (status == 0 && S_ISDIR(found.st_mode) && found.st_ino == one.inode) {
        one.counted = counts;
        return count_below(one.kept.get(), one, found.st_nlink);
      }
      one.kept.reset();
    }
    const bool known = one.inside() != 0;
    const bool keep = kept < most_kept;
    const int opened =
        sys::open_at(fd, one.name.c_str(), (known ? O_PATH : O_RDONLY) | O_DIRECTORY | O_NOFOLLOW);
    if (is_gone(opened) || opened == -ENOTDIR) return -ENOENT;
    if (opened < 0) return opened;
    UniqueFd descriptor(opened);
    if (known || keep) {
      if (const int status = sys::stat(opened, found); status < 0) return status;
    }
    one.counted = counts;
    int status = known ? 0 : learn(opened, one);
    if (status == 0) {
      status = count_below(opened, one, known ? std::optional(found.st_nlink) : std::nullopt);
    }
    if (status == 0 && keep) {
      one.inode = found.st_ino;
      one.kept = std::move(descriptor);
      ++kept;
    }
    return status;
  }

  /// Whether what is known is all there is: as many inside as the kernel counts, and each leaf
  /// still there and still a leaf. The others show it when they are counted.
  static bool stands(int fd, const Directory& directory, nlink_t links) {
    if (links != 2 + directory.inside()) return false;
    const char* name = directory.leaves.data();
    const char* const end = name + directory.leaves.size();
    for (; name != end; name += std::strlen(name) + 1) {
      struct ::stat found {};
      if (sys::stat_at(fd, name, found) != 0) return false;
      if (!S_ISDIR(found.st_mode) || found.st_nlink != 2) return false;
    }
    return true;
  }

  int learn_again(int fd, Directory& directory) {
    const int opened = sys::open_at(fd, ".", O_RDONLY | O_DIRECTORY);
    if (is_gone(opened)) {
      learn_nothing(directory);
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
    learn_nothing(directory);
    return detail::each_subdirectory(fd, *entries, [&](const char* name, bool leaf) {
      if (leaf) {
        directory.leaves.append(name, std::strlen(name) + 1);
        ++directory.leaf_count;
      } else {
        directory.inner.push_back(take(before, name));
      }
    });
  }

  static void learn_nothing(Directory& directory) {
    directory.inner.clear();
    directory.leaves.clear();
    directory.leaf_count = 0;
  }

  /// What is known of `name`, of directories sorted by name.
  static Directory take(std::vector<Directory>& sorted, const char* name) {
    const auto at = std::lower_bound(
        sorted.begin(), sorted.end(), name,
        [](const Directory& one, const char* wanted) { return one.name.compare(wanted) < 0; });
    Directory taken;
    if (at != sorted.end() && at->name == name) {
      taken = std::move(*at);
      at->name = name;  // by which the others are found
    } else {
      taken.name = name;
    }
    return taken;
  }

  // NOLINTNEXTLINE(misc-no-recursion)
  static std::size_t kept_below(const Directory& directory) {
    std::size_t count = 0;
    for (const Directory& one : directory.inner) count += (one.kept ? 1 : 0) + kept_below(one);
    return count;
  }

  static bool is_gone(int status) noexcept { return status == -ENOENT || status == -ENODEV; }

  std::uint64_t counts = 0;
  std::unique_ptr<detail::Entries> entries = detail::make_entries();
};

DirectoryCounter::DirectoryCounter(std::size_t descriptors)
    : known_(std::make_unique<Known>(descriptors)) {}
DirectoryCounter::DirectoryCounter(DirectoryCounter&&) noexcept = default;
DirectoryCounter& DirectoryCounter::operator=(DirectoryCounter&&) noexcept = default;
DirectoryCounter::~DirectoryCounter() = default;

Result<std::uint64_t> DirectoryCounter::count(int directory, std::string_view shown) {
  int status = known_->count(directory);
  if ((status == -EMFILE || status == -ENFILE) && known_->kept != 0) {
    *known_ = Known(0);
    status = known_->count(directory);
  }
  if (status < 0) return fail(fs::system_error("walk", shown, -status));
  return known_->top.below + 1;
}

Result<std::uint64_t> count_directories(int directory, std::string_view shown) {
  return DirectoryCounter().count(directory, shown);
}

}  // namespace cgctl::zombies
