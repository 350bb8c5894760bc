// SPDX-FileCopyrightText: The cgctl authors
// SPDX-License-Identifier: MIT
#include "prune/empty.hpp"

#include <fcntl.h>
#include <sys/stat.h>

#include <algorithm>
#include <cerrno>

#include "cgctl/filesystem.hpp"

namespace cgctl::tool::prune_command {
namespace {

/// Tells whether a cgroup has processes: on v2 it or one below, on v1 it alone.
Result<bool> is_populated(const Group::Place& place, const std::string& path,
                          const std::string& shown) {
  const bool v2 = place.hierarchy->version == Version::v2;
  const auto text =
      fs::read_beneath(place.directory.get(), fs::join(path, v2 ? "cgroup.events" : "cgroup.procs"),
                       shown, place.hierarchy->open_flags);
  if (!text) return fail(text.error());
  return v2 ? text->find("populated 0") == std::string::npos : !text->empty();
}

bool is_gone(const Error& error) {
  return error.kind == errc::vanished || error.os_errno == ENOENT || error.os_errno == ENODEV;
}

/// Adds what one directory tells to its cgroup, and to all above up to the top.
class Looking {
 public:
  Looking(const std::string& top, Subtrees& out) : top_(top), out_(out) {}

  Status look(const Group::Place& place, const std::string& below) {
    const std::string path = below.empty() ? top_ : fs::join(top_, below);
    const std::string shown = fs::join(place.hierarchy->mount_point, path);
    const auto directory = fs::open_beneath(place.directory.get(), below.empty() ? "." : below,
                                            O_PATH | O_DIRECTORY, shown);
    if (!directory) return is_gone(directory.error()) ? Status() : fail(directory.error());
    struct ::stat found {};
    if (::fstat(directory->get(), &found) != 0) {
      return fail(fs::system_error("stat", shown, errno));
    }
    const auto populated = is_populated(place, below.empty() ? "." : below, shown);
    if (!populated && is_gone(populated.error())) return {};
    const bool is_new = out_.try_emplace(path).second;
    for (std::string at = path;; at = fs::parent(at)) {
      Subtree& one = out_[at];
      one.cgroups += is_new ? 1 : 0;
      one.newest = std::max<std::int64_t>(one.newest, found.st_mtime);
      one.populated = one.populated || !populated || *populated;
      if (!populated) one.unread.push_back(populated.error());
      if (at == top_) return {};
    }
  }

 private:
  const std::string& top_;
  Subtrees& out_;
};

}  // namespace

Result<Subtrees> look_at(const Group& top) {
  if (auto status = top.require_all(); !status) return fail(status.error());
  Subtrees found;
  Looking looking(top.path(), found);
  for (const Group::Place& place : top.places()) {
    std::vector<std::string> below = {""};
    const std::string shown = fs::join(place.hierarchy->mount_point, top.path());
    auto status = add_paths_below(place.directory.get(), shown, below);
    for (const std::string& path : below) {
      if (status) status = looking.look(place, path);
    }
    if (!status) return fail(status.error());
  }
  return found;
}

}  // namespace cgctl::tool::prune_command
