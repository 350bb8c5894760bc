// SPDX-FileCopyrightText: The cgctl authors
// SPDX-License-Identifier: MIT
#include "kernel/proof.hpp"

#include <sys/stat.h>
#include <sys/sysinfo.h>
#include <unistd.h>

#include <algorithm>
#include <chrono>
#include <optional>
#include <string>
#include <thread>
#include <vector>

#include "cgctl/detail/sys.hpp"
#include "cgctl/filesystem.hpp"
#include "cgctl/parse.hpp"
#include "detail/memory_row.hpp"
#include "detail/tree_walk.hpp"
#include "kernel/hints.hpp"

namespace cgctl::kernel {
namespace {

using census::Cgroup;
using census::Snapshot;

Error disproved(std::string path, std::string reason) {
  return Error::make(errc::malformed, "prove a census of", std::move(path), std::move(reason),
                     std::string("the kernel's structures are not as expected; ") + without_names);
}

bool same_inode(std::uint64_t kernel, std::uint64_t found) {
  // Before Linux 5.5 the upper half is a generation number, which stat(2) does not show.
  constexpr std::uint64_t low = 0xffffffff;
  return kernel == found || (found <= low && (kernel & low) == found);
}

/// A directory as the file system shows it.
struct Seen {
  std::string path;
  std::uint64_t inode = 0;
  std::uint64_t usage = 0;
};

/// The line of swap that is used, in pages; a line that /proc/vmstat does not have.
constexpr const char* used_swap = "used_swap";

/// A kind of memory in a census, in the root's memory.stat, and in /proc/vmstat.
struct Sum {
  std::uint64_t (*own)(const census::Memory&);
  /// Absent: the kind is always known, and all of the machine's belongs to cgroups.
  std::optional<Counter> counter;
  const char* v1[2];  // the sum of these; the second may be empty
  const char* v2[2];
  const char* machine[2];
};

constexpr Sum sums[] = {
    {[](const census::Memory& own) { return own.file; },
     std::nullopt,
     {"total_inactive_file", "total_active_file"},
     {"inactive_file", "active_file"},
     {"nr_inactive_file", "nr_active_file"}},
    {[](const census::Memory& own) { return own.anon; },
     std::nullopt,
     {"total_inactive_anon", "total_active_anon"},
     {"inactive_anon", "active_anon"},
     {"nr_inactive_anon", "nr_active_anon"}},
    {[](const census::Memory& own) { return own.unevictable; },
     std::nullopt,
     {"total_unevictable", ""},
     {"unevictable", ""},
     {"nr_unevictable", ""}},
    {[](const census::Memory& own) { return own.shmem; },
     Counter::shmem,
     {"total_shmem", ""},
     {"shmem", ""},
     {"", ""}},
    {[](const census::Memory& own) { return own.mapped; },
     Counter::mapped,
     {"total_mapped_file", ""},
     {"file_mapped", ""},
     {"", ""}},
    {[](const census::Memory& own) { return own.dirty; },
     Counter::dirty,
     {"total_dirty", ""},
     {"file_dirty", ""},
     {"", ""}},
    {[](const census::Memory& own) { return own.writeback; },
     Counter::writeback,
     {"total_writeback", ""},
     {"file_writeback", ""},
     {"", ""}},
    {[](const census::Memory& own) { return own.swap; },
     Counter::swap,
     {"total_swap", ""},
     {"", ""},
     {used_swap, ""}},
    {[](const census::Memory& own) { return own.sockets; },
     Counter::sockets,
     {"", ""},
     {"sock", ""},
     {"", ""}},
    {[](const census::Memory& own) { return own.slab; },
     Counter::slab_reclaimable,
     {"", ""},
     {"slab_reclaimable", "slab_unreclaimable"},
     {"nr_slab_reclaimable", "nr_slab_unreclaimable"}},
};
constexpr std::size_t listed_kinds = 3;  // of these sums the first, which LRU lists tell

/// Returns the sum of two lines of a flat keyed file; no value if it does not have the first one.
std::optional<std::uint64_t> sum_of(std::string_view text, const char* const (&keys)[2]) {
  const auto first = parse::value_of(text, keys[0]);
  if (!first) return first;
  return *first + parse::value_of(text, keys[1]).value_or(0);
}

/// Returns what the kernel says of the whole machine's memory.
std::string machine_stat(const Host& host) {
  auto text = fs::read_in_root(host.roots().proc, "vmstat");
  std::string all = text ? std::move(*text) : std::string();
  struct ::sysinfo info {};
  if (::sysinfo(&info) != 0) return all;
  const std::uint64_t units = info.totalswap - info.freeswap;
  const std::uint64_t used = units * info.mem_unit / host.page_size();
  return all.append(1, '\n').append(used_swap).append(1, ' ').append(std::to_string(used));
}

std::string file_of_node(unsigned node) {
  return "devices/system/node/node" + std::to_string(node) + "/vmstat";
}

/// The cgroups of a snapshot in the order of their serial numbers, which are never reused.
using BySerial = std::vector<const Cgroup*>;

bool is_older(const Cgroup* one, std::uint64_t serial) { return one->serial < serial; }

BySerial by_serial(const Snapshot& snapshot) {
  BySerial all;
  for (const Cgroup& one : snapshot.cgroups) all.push_back(&one);
  std::sort(all.begin(), all.end(),
            [](const Cgroup* a, const Cgroup* b) { return is_older(a, b->serial); });
  return all;
}

/// One comparison: a census, the directories and the kernel's number, and a census again.
class Round {
 public:
  /// `batch`: bytes by which a counter may lag.
  Round(const Host& host, const Hierarchy& hierarchy, const Slots& known, std::uint64_t batch)
      : host_(host), hierarchy_(hierarchy), known_(known), batch_(batch) {}

  Status look(const Take& take) {
    if (auto status = take(before_, {true, true, false, false}); !status) return status;
    if (auto status = list_directories(); !status) return status;
    if (auto status = read_total(); !status) return status;
    // Reading it also brings the counters up to date, since Linux 5.13.
    auto text = fs::read_beneath(hierarchy_.directory.get(), "memory.stat",
                                 fs::join(hierarchy_.mount_point, "memory.stat"));
    if (!text && text.error().os_errno != ENOENT) return fail(text.error());
    if (text) memory_stat_ = std::move(*text);
    machine_stat_ = machine_stat(host_);
    for (const unsigned node : before_.node_numbers) {
      auto stat = fs::read_in_root(host_.roots().sys, file_of_node(node));
      node_stats_.push_back(stat ? std::move(*stat) : std::string());
    }
    if (auto status = take(after_, {true, true, true, true}); !status) return status;
    later_ = by_serial(after_);
    return {};
  }

  /// Returns the serial numbers of the first census.
  [[nodiscard]] std::vector<std::uint64_t> serials() const {
    std::vector<std::uint64_t> all;
    all.reserve(before_.cgroups.size());
    for (const Cgroup& one : before_.cgroups) all.push_back(one.serial);
    return all;
  }

  /// Tells how many cgroups of an earlier round the kernel has released since. They leave the
  /// kernel's tree up to seconds before they leave the kernel's number.
  void compare_with(const std::vector<std::uint64_t>& earlier) {
    released_ = 0;
    for (const std::uint64_t serial : earlier) {
      if (later(serial) == nullptr) ++released_;
    }
  }

  /// Returns the first difference. Usages may differ by `tolerance` bytes, since they move.
  [[nodiscard]] Status compare(std::uint64_t tolerance) const {
    if (auto status = compare_directories(tolerance); !status) return status;
    if (auto status = compare_totals(); !status) return status;
    if (auto status = compare_order(); !status) return status;
    if (auto status = compare_ages(); !status) return status;
    if (auto status = compare_references(); !status) return status;
    if (auto status = compare_nodes(tolerance); !status) return status;
    return compare_memory(tolerance);
  }

 private:
  Status list_directories() {
    const char* const usage =
        hierarchy_.version == Version::v1 ? "memory.usage_in_bytes" : "memory.current";
    auto status =
        detail::walk_below(hierarchy_.directory.get(), hierarchy_.mount_point,
                           [&](const detail::Step& step) -> Result<detail::Next> {
                             const std::string file = fs::join(step.name, usage);
                             struct ::stat found {};
                             if (sys::stat_at(step.parent, step.name, found) < 0)
                               return detail::Next::past;
                             const auto text = fs::read_beneath(step.parent, file, step.path);
                             // Removed meanwhile, or a cgroup of v2 without the memory controller.
                             if (!text && text.error().os_errno == ENOENT)
                               return detail::Next::inside;
                             if (!text && text.error().kind == errc::vanished)
                               return detail::Next::past;
                             if (!text) return fail(text.error());
                             std::string_view rest = *text;
                             seen_.push_back({step.path, found.st_ino,
                                              parse::whole_number(parse::line(rest)).value_or(0)});
                             return detail::Next::inside;
                           });
    std::sort(seen_.begin(), seen_.end(),
              [](const Seen& a, const Seen& b) { return a.path < b.path; });
    return status;
  }

  Status read_total() {
    if (hierarchy_.version == Version::v1) {
      const auto text = fs::read_in_root(host_.roots().proc, "cgroups");
      if (!text) return fail(text.error());
      total_ = detail::memory_cgroups(*text);
      return {};
    }
    const auto text = fs::read_beneath(hierarchy_.directory.get(), "cgroup.stat",
                                       fs::join(hierarchy_.mount_point, "cgroup.stat"));
    if (!text) return fail(text.error());
    const auto live = parse::value_of(*text, "nr_subsys_memory");
    const auto dying = parse::value_of(*text, "nr_dying_subsys_memory");
    if (live && dying) total_ = *live + *dying;
    return {};
  }

  [[nodiscard]] const Cgroup* later(const Cgroup& one) const { return later(one.serial); }
  [[nodiscard]] const Cgroup* later(std::uint64_t serial) const {
    const auto found = std::lower_bound(later_.begin(), later_.end(), serial, is_older);
    return found == later_.end() || (*found)->serial != serial ? nullptr : *found;
  }

  [[nodiscard]] Status compare_directories(std::uint64_t tolerance) const {
    std::size_t matched = 0;
    std::size_t using_memory = 0;
    std::size_t agreeing = 0;
    for (std::size_t i = 1; i < before_.cgroups.size(); ++i) {
      const Cgroup& one = before_.cgroups[i];
      const Cgroup* const still = later(one);
      if (!one.live || still == nullptr || !still->live) continue;
      const std::string path = before_.path(i);
      const auto found = std::lower_bound(
          seen_.begin(), seen_.end(), path,
          [](const Seen& seen, const std::string& text) { return seen.path < text; });
      if (found == seen_.end() || found->path != path) {
        return fail(disproved(path, "there is no such directory"));
      }
      if (auto status = compare_one(one, *still, *found, tolerance); !status) return status;
      ++matched;
      if (found->usage == 0) continue;
      ++using_memory;
      if (agrees(one, *still, *found)) ++agreeing;
    }
    // The tolerance is above the usage of small cgroups. They prove the usage nevertheless: most
    // cgroups stand still while they are looked at.
    if (agreeing * 2 < using_memory) {
      return fail(
          disproved(hierarchy_.mount_point, "the usage of only " + std::to_string(agreeing) +
                                                " of " + std::to_string(using_memory) +
                                                " directories is that found in the kernel"));
    }
    return compare_unmatched(matched);
  }

  /// True if the directory's usage is that of the censuses, give or take as much as these differ.
  static bool agrees(const Cgroup& one, const Cgroup& still, const Seen& seen) {
    const auto [least, most] = std::minmax(one.usage, still.usage);
    const std::uint64_t moved = most - least;
    return seen.usage + moved >= least && seen.usage <= most + moved;
  }

  static Status compare_one(const Cgroup& one, const Cgroup& still, const Seen& seen,
                            std::uint64_t tolerance) {
    if (!same_inode(one.inode, seen.inode)) {
      return fail(disproved(seen.path, "the directory's inode is " + std::to_string(seen.inode) +
                                           ", not " + std::to_string(one.inode)));
    }
    const auto [least, most] = std::minmax(one.usage, still.usage);
    if (seen.usage + tolerance < least || seen.usage > most + tolerance) {
      return fail(disproved(seen.path, "its usage is " + std::to_string(seen.usage) +
                                           " bytes, not " + std::to_string(one.usage)));
    }
    return {};
  }

  /// How many cgroups, of any controller, were made between the two censuses at most.
  [[nodiscard]] std::uint64_t births() const {
    const auto newest = [](const Snapshot& snapshot) {
      std::uint64_t serial = 0;
      for (const Cgroup& one : snapshot.cgroups) serial = std::max(serial, one.serial);
      return serial;
    };
    const std::uint64_t first = newest(before_);
    const std::uint64_t last = newest(after_);
    return last > first ? last - first : 0;
  }

  /// Allows as many directories without a cgroup as were made or removed meanwhile.
  [[nodiscard]] Status compare_unmatched(std::size_t matched) const {
    std::size_t gone = 0;
    for (const Cgroup& one : before_.cgroups) {
      const Cgroup* const still = later(one);
      if (one.live && (still == nullptr || !still->live)) ++gone;
    }
    if (seen_.size() <= matched + gone + births()) return {};
    return fail(disproved(hierarchy_.mount_point,
                          std::to_string(seen_.size()) + " directories, but only " +
                              std::to_string(matched) + " were found in the kernel"));
  }

  [[nodiscard]] Status compare_totals() const {
    if (!total_) return {};
    std::uint64_t stayed = 0;
    for (const Cgroup& one : before_.cgroups) {
      if (later(one) != nullptr) ++stayed;
    }
    const std::uint64_t all = before_.cgroups.size() + after_.cgroups.size() - stayed;
    if (*total_ >= stayed && *total_ <= all + births() + released_) return {};
    return fail(disproved(hierarchy_.mount_point,
                          std::to_string(all) + " memory cgroups were found, and the kernel has " +
                              std::to_string(*total_)));
  }

  /// Serial numbers grow from each cgroup to those below it, and from each to the next one below
  /// the same parent: css_next_child() in kernel/cgroup/cgroup.c relies on it.
  [[nodiscard]] Status compare_order() const {
    constexpr std::uint64_t most = std::uint64_t{1} << 35;
    std::vector<std::uint64_t> newest;
    for (const Cgroup& one : after_.cgroups) newest.push_back(one.serial);
    for (std::size_t i = 1; i < newest.size(); ++i) {
      const Cgroup& one = after_.cgroups[i];
      std::uint64_t& earlier = newest[one.parent];
      if (one.serial <= earlier || one.serial >= most) {
        return fail(disproved(after_.path(i), "its serial number is not in order"));
      }
      earlier = one.serial;
    }
    return {};
  }

  /// A cgroup is not older than one made before it.
  [[nodiscard]] Status compare_ages() const {
    constexpr std::chrono::seconds slack(2);
    auto oldest = std::chrono::seconds::max() - slack;
    for (const Cgroup* one : later_) {
      if (!one->age) continue;
      if (*one->age > oldest + slack) {
        return fail(disproved(after_.path(static_cast<std::size_t>(one - after_.cgroups.data())),
                              "it is older than a cgroup made before it"));
      }
      oldest = *one->age;
    }
    return {};
  }

  /// A live cgroup has no count, which proves the place of the count. That of a removed one is 0
  /// only until the kernel gets round to releasing it. The pages on its lists are charged to it.
  [[nodiscard]] Status compare_references() const {
    constexpr std::uint64_t most = std::uint64_t{1} << 40;
    const bool exact = after_.nodes != 0 && !after_.pages_move;
    const auto& all = after_.cgroups;
    const auto live =
        std::count_if(all.begin(), all.end(), [](const auto& one) { return one.live; });
    const std::uint64_t least = live > 1 ? 0 : 1;  // the root proves nothing
    for (std::size_t i = 0; i < all.size(); ++i) {
      const Cgroup& one = all[i];
      const std::uint64_t listed = one.own.file + one.own.anon + one.own.unevictable;
      const bool charged = one.live || !exact || one.usage >= listed;
      const bool counted =
          one.live ? one.references == 0 : one.references >= least && one.references < most;
      if (charged && counted) continue;
      return fail(disproved(after_.path(i), "it has " + std::to_string(listed) +
                                                " bytes of pages, a usage of " +
                                                std::to_string(one.usage) + " bytes and " +
                                                std::to_string(one.references) + " references"));
    }
    return {};
  }

  /// The sums over all cgroups are what the root's memory.stat says; or what /proc/vmstat says,
  /// since before Linux 5.13 memory.stat lacks up to 32 pages of each cgroup on each CPU.
  /// Where memory.stat has no such line, a part of the machine's swap and slab objects may belong
  /// to no cgroup.
  [[nodiscard]] Status compare_memory(std::uint64_t tolerance) const {
    for (const Sum& sum : sums) {
      const auto& keys = hierarchy_.version == Version::v1 ? sum.v1 : sum.v2;
      const auto stated = sum_of(memory_stat_, keys);
      const auto machine = bytes_of(machine_stat_, sum);
      if ((!stated && !machine) || !is_known(sum)) continue;
      const std::uint64_t found = found_of(sum);
      if (stated && are_near(*stated, found, tolerance)) continue;
      if (machine && are_near(*machine, found, tolerance)) continue;
      if (!stated && sum.counter && found < *machine) continue;
      return fail(differs(hierarchy_.mount_point, stated ? keys[0] : sum.machine[0],
                          stated ? *stated : *machine, found));
    }
    return {};
  }

  /// Slab objects are taken from the root's counter: those of removed cgroups move to the parent,
  /// which leaves too many in the one and fewer than none in the other.
  [[nodiscard]] std::uint64_t found_of(const Sum& sum) const {
    if (sum.counter == Counter::slab_reclaimable) {
      return after_.counter(0, Counter::slab_reclaimable) +
             after_.counter(0, Counter::slab_unreclaimable);
    }
    std::uint64_t found = 0;
    for (const Cgroup& one : after_.cgroups) found += sum.own(one.own);
    return found;
  }

  /// The lists of each node have the pages that the node says. The sums over all nodes do not tell
  /// the nodes apart.
  [[nodiscard]] Status compare_nodes(std::uint64_t tolerance) const {
    constexpr std::uint64_t batches = 4;  // the node's counters are not summed up before
    for (unsigned node = 0; node < std::min<std::size_t>(after_.nodes, node_stats_.size());
         ++node) {
      census::Memory all;
      for (std::size_t i = 0; i < after_.cgroups.size(); ++i) {
        const census::Pages& pages = after_.on_node(i, node);
        all.file += pages.file;
        all.anon += pages.anon;
        all.unevictable += pages.unevictable;
      }
      for (std::size_t i = 0; i < listed_kinds; ++i) {
        const auto stated = bytes_of(node_stats_[node], sums[i]);
        const std::uint64_t found = sums[i].own(all);
        if (!stated || are_near(*stated, found, tolerance + batches * batch_)) continue;
        return fail(differs(fs::join(host_.roots().sys, file_of_node(after_.node_numbers[node])),
                            sums[i].machine[0], *stated, found));
      }
    }
    return {};
  }

  static Error differs(std::string file, const char* key, std::uint64_t stated,
                       std::uint64_t found) {
    return disproved(std::move(file), std::string(key) + " is " + std::to_string(stated) +
                                          " bytes, not " + std::to_string(found));
  }
  /// Returns what a text in the form of /proc/vmstat says of a kind of memory.
  [[nodiscard]] std::optional<std::uint64_t> bytes_of(std::string_view vmstat,
                                                      const Sum& sum) const {
    auto pages = sum_of(vmstat, sum.machine);
    if (pages) *pages *= host_.page_size();
    return pages;
  }
  [[nodiscard]] bool is_known(const Sum& sum) const {
    return !sum.counter || known_[static_cast<std::size_t>(*sum.counter)].index != Slot::absent;
  }
  [[nodiscard]] bool are_near(std::uint64_t stated, std::uint64_t found,
                              std::uint64_t tolerance) const {
    constexpr std::uint64_t part = 20;
    const auto [least, most] = std::minmax(stated, found);
    return most - least <= most / part + batch_ + tolerance;
  }

  const Host& host_;
  const Hierarchy& hierarchy_;
  const Slots& known_;
  std::uint64_t batch_;
  std::string memory_stat_;
  std::string machine_stat_;
  std::vector<std::string> node_stats_;
  Snapshot before_;
  Snapshot after_;
  std::vector<Seen> seen_;
  std::optional<std::uint64_t> total_;
  std::uint64_t released_ = 0;
  BySerial later_;
};

}  // namespace

Status prove(const Host& host, const Hierarchy& hierarchy, const Slots& known, const Take& take,
             unsigned rounds) {
  constexpr std::chrono::milliseconds pause(50);
  // Each CPU charges up to 64 pages in advance.
  const auto processors = static_cast<std::uint64_t>(std::max(::sysconf(_SC_NPROCESSORS_CONF), 1L));
  const std::uint64_t batch = 64 * host.page_size() * processors;
  Status status;
  std::vector<std::uint64_t> first;  // serial numbers: the rest of a round takes much memory
  for (unsigned i = 0; i == 0 || (i < rounds && !status); ++i) {
    if (i != 0) std::this_thread::sleep_for(pause * (1U << i));
    Round round(host, hierarchy, known, batch);
    if (auto looked = round.look(take); !looked) return looked;
    if (i != 0) round.compare_with(first);
    status = round.compare(i * batch);
    if (i == 0 && !status) first = round.serials();
  }
  return status;
}

}  // namespace cgctl::kernel
