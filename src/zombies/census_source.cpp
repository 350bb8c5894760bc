// SPDX-FileCopyrightText: The cgctl authors
// SPDX-License-Identifier: MIT
#include <algorithm>
#include <cstddef>
#include <vector>

#include "cgctl/census.hpp"
#include "cgctl/filesystem.hpp"
#include "cgctl/parse.hpp"
#include "detail/kernel_release.hpp"
#include "zombies/memory_stat.hpp"
#include "zombies/sources.hpp"

namespace cgctl::zombies {
namespace {

void add(const census::Memory& own, Residual& sum) noexcept {
  sum.file += own.file;
  sum.shmem += own.shmem;
  sum.mapped += own.mapped;
  sum.anon += own.anon;
  sum.unevictable += own.unevictable;
}

/// Counters of a few pages may stand at zero on kernels where they move in steps. The machine's,
/// less those of live cgroups, tell at least how much all zombies have together.
void correct(const Host& host, const census::Snapshot& snapshot, Residual& sum) {
  const auto vmstat = fs::read_in_root(host.roots().proc, "vmstat");
  if (!vmstat) return;
  Residual live;
  for (const census::Cgroup& one : snapshot.cgroups) {
    if (one.live) add(one.own, live);
  }
  const auto rest = [&](std::string_view key, std::uint64_t of_live, std::uint64_t most) {
    const std::uint64_t all = parse::value_of(*vmstat, key).value_or(0) * host.page_size();
    return std::min(less(all, of_live), most);
  };
  sum.shmem = std::max(sum.shmem, rest("nr_shmem", live.shmem, sum.anon + sum.unevictable));
  sum.mapped = std::max(sum.mapped, rest("nr_mapped", live.mapped, sum.file + sum.shmem));
}

/// The removed cgroups whose nearest live ancestor is the same.
struct Dead {
  std::uint64_t count = 0;
  Residual pages;

  void add(const census::Memory& own) {
    ++count;
    zombies::add(own, pages);
    SizeClass& alike = class_of(own.file);
    ++alike.count;
    alike.bytes += own.file;
  }
  [[nodiscard]] std::vector<SizeClass> page_cache() const {
    std::vector<SizeClass> classes;
    for (const SizeClass& one : by_digits) {
      if (one.count != 0) classes.push_back(one);
    }
    return classes;
  }

 private:
  SizeClass& class_of(std::uint64_t bytes) {
    std::size_t digits = 0;
    for (; bytes != 0; bytes /= 2) ++digits;
    if (by_digits.size() <= digits) by_digits.resize(digits + 1);
    return by_digits[digits];
  }

  std::vector<SizeClass> by_digits;  // binary digits of the bytes that each holds
};

/// True if inodes hold removed cgroups: on v2 before Linux 5.14, where an inode that was once dirty
/// keeps the writeback structure of its cgroup until it is evicted (release of dying cgwbs,
/// cleanup_offline_cgwbs_workfn() in mm/backing-dev.c).
bool inodes_hold(const Host& host) {
  constexpr cgctl::detail::KernelRelease first_without(5, 14);
  const Hierarchy* const memory = host.find("memory");
  if (memory == nullptr || memory->version != Version::v2) return false;
  const auto release = cgctl::detail::running_kernel();
  return release && *release < first_without;
}

}  // namespace

Result<Attribution> by_census(const Host& host, const char* offsets_file) {
  census::Options options;
  options.offsets_file = offsets_file;
  auto census = census::Census::open(host, options);
  if (!census) return fail(census.error());
  census::Snapshot snapshot;
  if (auto status = census->take(snapshot); !status) return fail(status.error());
  Attribution out;
  out.source = Source::census;
  out.slab = snapshot.slab_holds || inodes_hold(host) ? SlabPins::yes : SlabPins::no;
  Residual sum;
  const auto& all = snapshot.cgroups;
  std::vector<std::size_t> nearest_live(all.size());
  std::vector<Dead> below(all.size());
  for (std::size_t i = 0; i < all.size(); ++i) {
    nearest_live[i] = all[i].live ? i : nearest_live[all[i].parent];
    if (all[i].live) continue;
    below[nearest_live[i]].add(snapshot.holding(i));
    add(snapshot.holding(i), sum);
  }
  for (std::size_t i = 0; i < all.size(); ++i) {
    if (below[i].count == 0) continue;
    out.ancestors.push_back({snapshot.path(i), below[i].count, below[i].pages.total(),
                             below[i].pages, below[i].page_cache()});
  }
  if (snapshot.coarse_counters && !snapshot.pages_move) correct(host, snapshot, sum);
  out.residual = sum;
  return out;
}

}  // namespace cgctl::zombies
