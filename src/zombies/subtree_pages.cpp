// SPDX-FileCopyrightText: The cgctl authors
// SPDX-License-Identifier: MIT
#include "zombies/subtree_pages.hpp"

#include <fcntl.h>
#include <sys/stat.h>

#include <algorithm>
#include <utility>

#include "cgctl/census.hpp"
#include "cgctl/detail/sys.hpp"
#include "cgctl/filesystem.hpp"
#include "cgctl/parse.hpp"
#include "detail/tree_walk.hpp"
#include "zombies/memory_stat.hpp"
#include "zombies/page_frames.hpp"

namespace cgctl::zombies {
namespace {

using Pages = std::vector<SubtreePages>;

Result<Pages> pages_by_census(const Host& host, const std::vector<std::string>& cgroups,
                              const std::string& offsets_file) {
  census::Options options;
  options.offsets_file = offsets_file;
  options.rounds = 2;
  auto census = census::Census::open(host, options);
  if (!census) return fail(census.error());
  census::Snapshot snapshot;
  if (auto status = census->take(snapshot); !status) return fail(status.error());
  Pages sums(cgroups.size());
  const auto& all = snapshot.cgroups;
  std::vector<std::size_t> place(all.size(), cgroups.size());  // in `cgroups`; its size: in none
  for (std::size_t i = 1; i < all.size(); ++i) {
    place[i] = place[all[i].parent];
    if (place[i] == cgroups.size() && all[i].live) {
      const auto found = std::find(cgroups.begin(), cgroups.end(), snapshot.path(i));
      place[i] = static_cast<std::size_t>(found - cgroups.begin());
    }
    if (place[i] == cgroups.size()) continue;
    const census::Memory& own = all[i].own;
    sums[place[i]].clean_file += less(own.file, own.dirty + own.writeback);
    sums[place[i]].anon += own.anon;
  }
  return sums;
}

/// Adds the inodes of a cgroup's directory and of all below it.
Status add_inodes(const Hierarchy& memory, const std::string& cgroup,
                  std::vector<std::uint64_t>& inodes) {
  const std::string shown = fs::join(memory.mount_point, cgroup.substr(1));
  const auto top = fs::open_beneath(memory.directory.get(), cgroup.substr(1),
                                    O_RDONLY | O_DIRECTORY | memory.open_flags, shown);
  if (!top) return fail(top.error());
  const auto add = [&inodes](int parent, const char* name) {
    struct ::stat found {};
    if (sys::stat_at(parent, name, found) == 0) inodes.push_back(found.st_ino);
  };
  add(top->get(), ".");
  return detail::each_below(top->get(), shown, [&add](const detail::Step& step) {
    add(step.parent, step.name);
    return Status{};
  });
}

Result<Pages> pages_by_flags(const Host& host, const std::vector<std::string>& cgroups,
                             std::chrono::nanoseconds limit) {
  auto frames = PageFrames::open(host);
  if (!frames) return fail(frames.error());
  std::vector<std::vector<std::uint64_t>> inodes(cgroups.size());
  std::vector<std::uint64_t> together;
  for (std::size_t i = 0; i < cgroups.size(); ++i) {
    if (auto status = add_inodes(*host.find("memory"), cgroups[i], inodes[i]); !status) {
      return fail(status.error());
    }
    together.insert(together.end(), inodes[i].begin(), inodes[i].end());
  }
  Charges charges(std::move(together));
  if (auto status = frames->add_to(charges, limit); !status) return fail(status.error());
  const auto vmstat = fs::read_in_root(host.roots().proc, "vmstat");
  if (!vmstat) return fail(vmstat.error());
  const std::uint64_t dirty = (parse::value_of(*vmstat, "nr_dirty").value_or(0) +
                               parse::value_of(*vmstat, "nr_writeback").value_or(0)) *
                              host.page_size();
  Pages sums(cgroups.size());
  for (std::size_t i = 0; i < cgroups.size(); ++i) {
    for (const std::uint64_t inode : inodes[i]) {
      sums[i].clean_file += charges.find(inode)->file;
      sums[i].anon += charges.find(inode)->anon;
    }
    sums[i].clean_file = less(sums[i].clean_file, dirty);
  }
  return sums;
}

}  // namespace

Result<std::vector<SubtreePages>> subtree_pages(const Host& host,
                                                const std::vector<std::string>& cgroups,
                                                const std::string& offsets_file,
                                                std::chrono::nanoseconds limit) {
  if (auto pages = pages_by_census(host, cgroups, offsets_file)) return pages;
  return pages_by_flags(host, cgroups, limit);
}

}  // namespace cgctl::zombies
