// SPDX-FileCopyrightText: The cgctl authors
// SPDX-License-Identifier: MIT
#include "kernel/proof.hpp"

#include <sys/stat.h>
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

/// A kind of memory in a census, in the root's memory.stat, and in /proc/vmstat.
struct Sum {
  std::uint64_t (*own)(const census::Memory&);
  std::optional<Counter> counter;  // absent: the kind is always known
  const char* v1[2];               // the sum of these; the second may be empty
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
     {"", ""}},
    {[](const census::Memory& own) { return own.sockets; },
     Counter::sockets,
     {"", ""},
     {"sock", ""},
     {"", ""}},
    {[](const census::Memory& own) { return own.slab; },
     Counter::slab_reclaimable,
     {"", ""},
     {"slab_reclaimable", "slab_unreclaimable"},
     {"", ""}},
};

/// Returns the sum of two lines of a flat keyed file; no value if it does not have the first one.
std::optional<std::uint64_t> sum_of(std::string_view text, const char* const (&keys)[2]) {
  const auto first = parse::value_of(text, keys[0]);
  if (!first) return first;
  return *first + parse::value_of(text, keys[1]).value_or(0);
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
    if (auto status = take(before_); !status) return status;
    if (auto status = list_directories(); !status) return status;
    if (auto status = read_total(); !status) return status;
    // Reading it also brings the counters up to date, since Linux 5.13.
    auto text = fs::read_beneath(hierarchy_.directory.get(), "memory.stat", hierarchy_.mount_point);
    if (!text && text.error().os_errno != ENOENT) return fail(text.error());
    if (text) memory_stat_ = std::move(*text);
    auto machine = fs::read_in_root(host_.roots().proc, "vmstat");
    if (machine) machine_stat_ = std::move(*machine);
    if (auto status = take(after_); !status) return status;
    later_ = by_serial(after_);
    return {};
  }

  /// Tells how many cgroups of an earlier round the kernel has released since. They leave the
  /// kernel's tree up to seconds before they leave the kernel's number.
  void compare_with(const Round& earlier) {
    released_ = 0;
    for (const Cgroup& one : earlier.before_.cgroups) {
      if (later(one) == nullptr) ++released_;
    }
  }

  /// Returns the first difference. Usages may differ by `tolerance` bytes, since they move.
  [[nodiscard]] Status compare(std::uint64_t tolerance) const {
    if (auto status = compare_directories(tolerance); !status) return status;
    if (auto status = compare_totals(); !status) return status;
    if (auto status = compare_references(); !status) return status;
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
    const auto text =
        fs::read_beneath(hierarchy_.directory.get(), "cgroup.stat", hierarchy_.mount_point);
    if (!text) return fail(text.error());
    const auto live = parse::value_of(*text, "nr_subsys_memory");
    const auto dying = parse::value_of(*text, "nr_dying_subsys_memory");
    if (live && dying) total_ = *live + *dying;
    return {};
  }

  [[nodiscard]] const Cgroup* later(const Cgroup& one) const {
    const auto found = std::lower_bound(later_.begin(), later_.end(), one.serial, is_older);
    return found == later_.end() || (*found)->serial != one.serial ? nullptr : *found;
  }

  [[nodiscard]] Status compare_directories(std::uint64_t tolerance) const {
    std::size_t matched = 0;
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
    }
    return compare_unmatched(matched);
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

  /// A removed cgroup without references would be released. Each folio on a list refers to its
  /// cgroup, and has a bounded number of pages. The count of a cgroup that was removed just now is
  /// still spread over the CPUs; one of a cgroup that is released just now is 0 for a moment.
  [[nodiscard]] Status compare_references() const {
    constexpr std::uint64_t most_pages = std::uint64_t{1} << 13;  // 32 MiB
    constexpr std::uint64_t most = std::uint64_t{1} << 40;
    constexpr std::uint64_t spread = std::uint64_t{1} << 63;  // PERCPU_COUNT_BIAS
    std::uint64_t may_be_zero = released_meanwhile();
    for (std::size_t i = 0; i < after_.cgroups.size(); ++i) {
      const Cgroup& one = after_.cgroups[i];
      const std::uint64_t pages =
          (one.own.file + one.own.anon + one.own.unevictable) / host_.page_size();
      const std::uint64_t least = std::max<std::uint64_t>(pages / most_pages, 1);
      if (one.live || (one.references >= least && one.references < most)) continue;
      if (one.references >= spread && one.references - spread < most) continue;
      if (one.references == 0 && may_be_zero != 0) {
        --may_be_zero;
        continue;
      }
      return fail(disproved(after_.path(i), "it has " + std::to_string(pages) + " pages, but " +
                                                std::to_string(one.references) + " references"));
    }
    return {};
  }

  /// Returns how many cgroups were released between the two censuses.
  [[nodiscard]] std::uint64_t released_meanwhile() const {
    std::uint64_t number = 0;
    for (const Cgroup& one : before_.cgroups) {
      if (later(one) == nullptr) ++number;
    }
    return number;
  }

  /// The sums over all cgroups are what the root's memory.stat says; or what /proc/vmstat says,
  /// since before Linux 5.13 memory.stat lacks up to 32 pages of each cgroup on each CPU.
  [[nodiscard]] Status compare_memory(std::uint64_t tolerance) const {
    for (const Sum& sum : sums) {
      const auto& keys = hierarchy_.version == Version::v1 ? sum.v1 : sum.v2;
      const auto stated = sum_of(memory_stat_, keys);
      if (!stated || !is_known(sum)) continue;
      std::uint64_t found = 0;
      for (const Cgroup& one : after_.cgroups) found += sum.own(one.own);
      const auto pages = sum_of(machine_stat_, sum.machine);
      if (are_near(*stated, found, tolerance)) continue;
      if (pages && are_near(*pages * host_.page_size(), found, tolerance)) continue;
      return fail(disproved(hierarchy_.mount_point, std::string(keys[0]) + " is " +
                                                        std::to_string(*stated) + " bytes, not " +
                                                        std::to_string(found)));
    }
    return {};
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
  Round first(host, hierarchy, known, batch);
  if (auto looked = first.look(take); !looked) return looked;
  Status status = first.compare(0);
  for (unsigned i = 1; i < rounds && !status; ++i) {
    std::this_thread::sleep_for(pause * (1U << i));
    Round round(host, hierarchy, known, batch);
    if (auto looked = round.look(take); !looked) return looked;
    round.compare_with(first);
    status = round.compare(i * batch);
  }
  return status;
}

}  // namespace cgctl::kernel
