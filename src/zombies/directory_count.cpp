// SPDX-FileCopyrightText: The cgctl authors
// SPDX-License-Identifier: MIT
#include <fcntl.h>

#include <cerrno>
#include <cstring>
#include <memory>
#include <string>
#include <vector>

#include "cgctl/detail/sys.hpp"
#include "cgctl/filesystem.hpp"
#include "cgctl/zombies.hpp"
#include "detail/descent.hpp"
#include "detail/directory.hpp"

namespace cgctl::zombies {
namespace {

/// Counts the directories below a directory once. Keeps only the names of those still to be listed.
class SingleCount {
 public:
  explicit SingleCount(int top) : descent_(top) {}

  /// Returns 0 or a negated errno.
  int run() {
    const UniqueFd top(descent_.open(".", O_RDONLY));
    int status = top ? list(top.get()) : top.get();
    if (detail::is_gone(status)) return 0;
    while (status == 0 && !pending_.empty()) status = next();
    return status;
  }
  [[nodiscard]] std::uint64_t below() const noexcept { return below_; }

 private:
  struct Pending {
    std::size_t name;   // offset in names_, which ends with the name pushed last
    std::size_t depth;  // of its parent
  };

  int next() {
    const Pending one = pending_.back();
    while (descent_.depth() > one.depth) {
      if (const int status = descent_.leave(); status < 0) return status;
    }
    UniqueFd opened(descent_.open(names_.data() + one.name, O_RDONLY));
    pending_.pop_back();
    names_.resize(one.name);
    if (detail::is_gone(opened.get()) || opened.get() == -ENOTDIR) {
      --below_;
      return 0;
    }
    if (!opened) return opened.get();
    const int listed = opened.get();
    descent_.enter(std::move(opened));
    return list(listed);
  }

  int list(int fd) {
    return detail::each_subdirectory(fd, *entries_,
                                     [&](const char* name, const struct ::stat& found) {
                                       ++below_;
                                       if (detail::is_leaf(found)) return;
                                       pending_.push_back({names_.size(), descent_.depth()});
                                       names_.append(name, std::strlen(name) + 1);
                                     });
  }

  detail::Descent descent_;
  std::unique_ptr<detail::Entries> entries_ = detail::make_entries();
  std::vector<Pending> pending_;
  std::string names_;
  std::uint64_t below_ = 0;
};

}  // namespace

Result<std::uint64_t> count_directories(int directory, std::string_view shown) {
  struct ::stat found {};
  int status = sys::stat(directory, found);
  if (status == 0 && detail::is_leaf(found)) return 1;
  SingleCount count(directory);
  if (status == 0) status = count.run();
  if (status < 0) return fail(fs::system_error("walk", shown, -status));
  return count.below() + 1;
}

}  // namespace cgctl::zombies
