// SPDX-FileCopyrightText: The cgctl authors
// SPDX-License-Identifier: MIT
#include <fcntl.h>
#include <sys/stat.h>

#include <algorithm>
#include <chrono>
#include <string>
#include <thread>
#include <utility>
#include <vector>

#include "cgctl/detail/sys.hpp"
#include "cgctl/filesystem.hpp"
#include "cgctl/parse.hpp"
#include "detail/kernel_release.hpp"
#include "detail/possible_cpus.hpp"
#include "zombies/memory_stat.hpp"
#include "zombies/sources.hpp"

namespace cgctl::zombies {
namespace {

/// Subtracts own pages kind by kind.
Residual without(const Residual& pages, const Residual& own) noexcept {
  Residual left;
  left.file = less(pages.file, own.file);
  left.anon = less(pages.anon, own.anon);
  left.unevictable = less(pages.unevictable, own.unevictable);
  left.shmem = std::min(less(pages.shmem, own.shmem), left.anon + left.unevictable);
  left.mapped = std::min(less(pages.mapped, own.mapped), left.total());
  return left;
}

Residual greatest(const Residual& a, const Residual& b) noexcept {
  Residual most;
  most.file = std::max(a.file, b.file);
  most.shmem = std::max(a.shmem, b.shmem);
  most.mapped = std::max(a.mapped, b.mapped);
  most.anon = std::max(a.anon, b.anon);
  most.unevictable = std::max(a.unevictable, b.unevictable);
  return most;
}

void add(const Residual& more, Residual& sum) noexcept {
  sum.file += more.file;
  sum.shmem += more.shmem;
  sum.mapped += more.mapped;
  sum.anon += more.anon;
  sum.unevictable += more.unevictable;
}

/// Returns the path of a cgroup's file from the top of the hierarchy.
std::string file_of(const std::string& cgroup, const char* file) {
  return cgroup == "/" ? file : fs::join(cgroup.substr(1), file);
}

/// A live cgroup that more pages are charged to than it has itself: the rest are those of zombies
/// below it, or were charged or freed meanwhile.
class Candidate {
 public:
  Candidate(const Live& live, const Residual& pages) : live_(&live), pages_(pages) {
    own_ = last_ = live.own;
    charged_ = live.charged;
  }

  /// Reads the cgroup's own pages again, after the pages of the machine.
  [[nodiscard]] Status look(const Hierarchy& memory) {
    const std::string file = file_of(live_->path, "memory.stat");
    const auto text = fs::read_beneath(memory.directory.get(), file,
                                       fs::join(memory.mount_point, file), memory.open_flags);
    if (!text) return fail(text.error());
    const Residual now = own_pages(parse_stat(*text));
    const std::uint64_t charged = parse::value_of(*text, "pgpgin").value_or(live_->charged);
    still_ = charged == charged_ && now.total() == last_.total();
    own_ = greatest(own_, now);
    last_ = now;
    charged_ = charged;
    return {};
  }

  /// Returns the pages that are surely those of zombies. A page that was charged while the
  /// machine's were read may have been counted twice, at its old place and at its new one.
  [[nodiscard]] Residual left(std::uint64_t page_size) const noexcept {
    Residual own = own_;
    const std::uint64_t charged_meanwhile = less(charged_, live_->charged) * page_size;
    own.file += charged_meanwhile;
    own.anon += charged_meanwhile;
    own.unevictable += charged_meanwhile;
    return without(pages_, own);
  }

  /// True if the surplus cannot come from counters that lag: since Linux 5.16 memory.stat is up to
  /// two seconds old while no more than `lag` bytes have changed.
  [[nodiscard]] bool is_sure(std::uint64_t page_size, std::uint64_t lag) const noexcept {
    return live_->left.value_or(0) != 0 || left(page_size).total() > lag;
  }
  /// True if a cgroup without processes was never seen to have pages of its own.
  [[nodiscard]] bool was_always_empty(const Hierarchy& memory) const {
    if (charged_ != 0 || last_.total() != 0) return false;
    const std::string file = file_of(live_->path, "cgroup.procs");
    const auto text = fs::read_beneath(memory.directory.get(), file,
                                       fs::join(memory.mount_point, file), memory.open_flags);
    return text && text->empty();
  }
  /// True if the last two looks saw the same.
  [[nodiscard]] bool is_still() const noexcept { return still_; }
  [[nodiscard]] const std::string& path() const noexcept { return live_->path; }

 private:
  const Live* live_;
  Residual pages_;  // charged to it
  Residual own_;    // the most that any look has seen
  Residual last_;
  std::uint64_t charged_ = 0;
  bool still_ = true;
};

/// True before Linux 5.13, where a CPU keeps up to 32 pages of a cgroup to itself without a limit
/// in time. A kernel that has only the number of an older one loses small surpluses by that.
bool counters_lag_forever() {
  constexpr cgctl::detail::KernelRelease first_without(5, 13);
  const auto release = cgctl::detail::running_kernel();
  return !release || *release < first_without;
}

/// Leaves out candidates that may have no zombies below them.
class Judge {
 public:
  Judge(const Hierarchy& memory, std::uint64_t page_size, std::uint64_t cpus) noexcept
      : memory_(memory), page_size_(page_size), lag_(cpus * batch * page_size) {}

  [[nodiscard]] Residual left(const Candidate& one) const noexcept { return one.left(page_size_); }

  void look(std::vector<Candidate>& all) const {
    remove_if(all, [this](Candidate& one) {
      return is_without(one) || !one.look(memory_) || is_without(one);
    });
  }
  /// Looks after a pause at those whose surplus may be a counter's lag; with no pause all of them
  /// are left out. Where counters lag for ever, only a cgroup that was always empty is kept.
  void look_again(std::vector<Candidate>& all, std::chrono::nanoseconds pause) const {
    const auto doubtful = [this](const Candidate& one) { return !one.is_sure(page_size_, lag_); };
    if (std::none_of(all.begin(), all.end(), doubtful)) return;
    std::this_thread::sleep_for(pause);
    const bool forever = counters_lag_forever();
    remove_if(all, [&](Candidate& one) {
      if (!doubtful(one)) return false;
      if (forever && !one.was_always_empty(memory_)) return true;
      return pause.count() == 0 || !one.look(memory_) || !one.is_still() || is_without(one);
    });
  }

 private:
  static constexpr std::uint64_t batch = 64;  // MEMCG_CHARGE_BATCH

  [[nodiscard]] bool is_without(const Candidate& one) const noexcept {
    return left(one).total() == 0;
  }
  template <class Predicate>
  static void remove_if(std::vector<Candidate>& all, Predicate predicate) {
    all.erase(std::remove_if(all.begin(), all.end(), predicate), all.end());
  }

  const Hierarchy& memory_;
  std::uint64_t page_size_;
  std::uint64_t lag_;
};

Ancestor& row_of(const std::string& path, std::vector<Ancestor>& rows) {
  const auto found =
      std::find_if(rows.begin(), rows.end(), [&](const Ancestor& row) { return row.path == path; });
  if (found != rows.end()) return *found;
  rows.emplace_back();
  rows.back().path = path;
  return rows.back();
}

/// Removes the rows of cgroups whose zombies' bytes were unknown and are now known to be none.
void remove_unknown(std::vector<Ancestor>& rows) {
  const auto unknown = [](const Ancestor& row) { return !row.bytes; };
  rows.erase(std::remove_if(rows.begin(), rows.end(), unknown), rows.end());
}

Status refine_v1(PageFrames& frames, const Judge& judge, const AttributionLimits& limits,
                 const std::vector<Live>& live, Attribution& out) {
  // Before Linux 5.10 the pages of zombies below a cgroup without hierarchy belong to no cgroup.
  constexpr std::uint64_t no_cgroup = 0;
  std::vector<std::uint64_t> inodes;
  if (std::any_of(live.begin(), live.end(), [](const Live& one) { return !one.left; }))
    inodes.push_back(no_cgroup);
  for (const Live& one : live) inodes.push_back(one.inode);
  Charges charges(std::move(inodes));
  auto added = frames.add_to(charges, limits.page_flags, limits.page_flags_percent);
  if (!added) return added;
  std::vector<Candidate> found;
  found.reserve(live.size());
  for (const Live& one : live) found.emplace_back(one, *charges.find(one.inode));
  judge.look(found);
  judge.look_again(found, limits.settle);
  Residual sum;
  const Residual* const orphans = charges.find(no_cgroup);
  if (orphans != nullptr) add(*orphans, sum);
  for (const Candidate& one : found) {
    Ancestor& row = row_of(one.path(), out.ancestors);
    row.pages = judge.left(one);
    row.bytes = row.pages->total();
    add(*row.pages, sum);
  }
  if (out.skipped != 0) return {};
  if (orphans == nullptr || orphans->total() == 0) remove_unknown(out.ancestors);
  out.residual = sum;
  return {};
}

/// True if the cgroup hands the memory controller down to its children. It then has no processes,
/// and no pages except those that it had before.
bool hands_down(const Hierarchy& memory, const std::string& cgroup) {
  if (cgroup == "/") return false;
  const std::string file = file_of(cgroup, "cgroup.subtree_control");
  const auto text = fs::read_beneath(memory.directory.get(), file,
                                     fs::join(memory.mount_point, file), memory.open_flags);
  return text && parse::has_word(*text, "memory");
}

/// Returns the inode of a cgroup's directory; 0 if it was removed.
std::uint64_t inode_of(const Hierarchy& memory, const std::string& cgroup) {
  const auto directory = fs::open_beneath(memory.directory.get(), file_of(cgroup, "."), O_PATH,
                                          fs::join(memory.mount_point, cgroup));
  struct ::stat found {};
  if (!directory || sys::stat(directory->get(), found) < 0) return 0;
  return found.st_ino;
}

Status refine_v2(PageFrames& frames, const Hierarchy& memory, const AttributionLimits& limits,
                 Attribution& out) {
  std::vector<std::uint64_t> inodes;
  for (const Ancestor& row : out.ancestors) inodes.push_back(inode_of(memory, row.path));
  Charges charges(inodes);
  auto added = frames.add_to(charges, limits.page_flags, limits.page_flags_percent);
  if (!added) return added;
  Residual sum;
  bool only_of_zombies = out.skipped == 0;
  for (std::size_t i = 0; i < inodes.size(); ++i) {
    Ancestor& row = out.ancestors[i];
    row.pages = *charges.find(inodes[i]);
    row.bytes = row.pages->total();
    add(*row.pages, sum);
    only_of_zombies = only_of_zombies && hands_down(memory, row.path);
  }
  if (only_of_zombies) out.residual = sum;
  return {};
}

}  // namespace

Status refine(const Host& host, PageFrames frames, const AttributionLimits& limits,
              const std::vector<Live>& live, Attribution& out) {
  if (!out.complete) {
    return fail(Error::make(errc::over_budget, "tell zombies' pages from those of live cgroups",
                            "memory.stat", "the search for the latter took too long"));
  }
  const Hierarchy& memory = *host.find("memory");
  const auto cpus = cgctl::detail::possible_cpus(host);
  if (!cpus) return fail(cpus.error());
  const Judge judge(memory, host.page_size(), cpus->value_or(1));
  auto status = memory.version == Version::v1 ? refine_v1(frames, judge, limits, live, out)
                                              : refine_v2(frames, memory, limits, out);
  if (status) out.source = Source::page_flags;
  return status;
}

}  // namespace cgctl::zombies
