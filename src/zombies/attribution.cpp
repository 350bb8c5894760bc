// SPDX-FileCopyrightText: The cgctl authors
// SPDX-License-Identifier: MIT
#include <fcntl.h>
#include <sys/stat.h>

#include <algorithm>
#include <cerrno>
#include <chrono>
#include <tuple>
#include <utility>

#include "cgctl/detail/sys.hpp"
#include "cgctl/filesystem.hpp"
#include "cgctl/parse.hpp"
#include "cgctl/zombies.hpp"
#include "detail/open_beneath.hpp"
#include "detail/possible_cpus.hpp"
#include "detail/tree_walk.hpp"
#include "zombies/memory_stat.hpp"
#include "zombies/sources.hpp"

namespace cgctl::zombies {
namespace {

using Clock = std::chrono::steady_clock;
using detail::Next;
using detail::Step;

/// One walk over the live cgroups, depth first.
class Walk {
 public:
  Walk(const AttributionLimits& limits, int open_flags, Attribution& out) noexcept
      : limits_(limits), open_flags_(open_flags), out_(out) {}

 protected:
  /// Reads one of a cgroup's files. errc::vanished if the cgroup is gone or lacks the file.
  Result<std::string_view> read(const Step& cgroup, const char* file) {
    const auto start = Clock::now();
    name_.assign(cgroup.name).append(1, '/').append(file);
    const auto fd = fs::open_beneath(cgroup.parent, name_, O_RDONLY | open_flags_, file);
    if (!fd && fd.error().os_errno == ENOENT) return fail(fs::system_error("open", file, ENODEV));
    if (!fd) return fail(fd.error());
    auto text = fs::read_once(fd->get(), text_, file);
    if (!text) return fail(detail::unless_there(text.error(), cgroup.parent, name_.c_str()));
    const auto stop = Clock::now();
    if (stop - start > limits_.slowest_read || stop - started_ > limits_.total)
      out_.complete = false;
    return text;
  }

  /// True if an existing cgroup's file could not be read; counts the cgroup as skipped.
  bool unknown(const Result<std::string_view>& text) {
    if (text || text.error().kind == errc::vanished) return false;
    ++out_.skipped;
    if (!out_.failure) out_.failure = text.error();
    return true;
  }

  void skip() noexcept { ++out_.skipped; }
  void add(Ancestor ancestor) { out_.ancestors.push_back(std::move(ancestor)); }
  [[nodiscard]] bool complete() const noexcept { return out_.complete; }

 private:
  AttributionLimits limits_;
  int open_flags_;
  Attribution& out_;
  Clock::time_point started_ = Clock::now();
  std::vector<char> text_;
  std::string name_;
};

/// Examines each cgroup after those below it.
class WalkV1 : public Walk {
 public:
  /// Adds each cgroup to `live`, unless that is null.
  WalkV1(const AttributionLimits& limits, int open_flags, Attribution& out,
         std::vector<Live>* live) noexcept
      : Walk(limits, open_flags, out), live_(live) {}

  void enter() {
    levels_.back().is_parent = true;
    levels_.emplace_back();
  }
  void leave(const Step& cgroup) {
    const Level level = levels_.back();
    levels_.pop_back();
    const auto charged = look(cgroup, level);
    if (levels_.empty()) return;
    auto& below = levels_.back().below;
    below = below && charged ? std::optional(*below + *charged) : std::nullopt;
  }
  [[nodiscard]] bool goes_inside() const noexcept { return complete(); }

  [[nodiscard]] const Stat& own() const noexcept { return own_; }
  [[nodiscard]] SlabPins slab() const noexcept { return slab_; }

 private:
  /// A cgroup on the way down.
  struct Level {
    std::optional<std::uint64_t> below = 0;  // bytes charged to its children; absent: unknown
    bool is_parent = false;
  };

  /// Returns the bytes charged to the subtree (total_cache + total_rss); nothing if the kernel does
  /// not tell.
  std::optional<std::uint64_t> look(const Step& cgroup, const Level& level) {
    // A read costs more the more cgroups are below: after a slow one no ancestor is read.
    if (!complete()) {
      skip();
      return std::nullopt;
    }
    Stat stat{};
    const auto text = read(cgroup, "memory.stat");
    if (text) {
      stat = parse_stat(*text);
      if (live_ != nullptr) note(cgroup, stat, *text);
    }
    const bool unreadable = unknown(text);
    const bool hierarchical = !level.is_parent || has_hierarchy(cgroup);
    for (std::size_t key = 0; key < total_cache; ++key) own_[key] += stat[key];
    if (!level.is_parent) note_slab_accounting(cgroup);
    if (unreadable) {
      if (complete()) add({cgroup.path, std::nullopt, std::nullopt});
      return std::nullopt;
    }
    const std::uint64_t total = stat[total_cache] + stat[total_rss];
    if (!complete()) return total;
    if (!hierarchical || !level.below) {
      if (level.is_parent) add({cgroup.path, std::nullopt, std::nullopt});
      return total;
    }
    const std::uint64_t left = less(total, stat[cache] + stat[rss] + *level.below);
    if (live_ != nullptr && text) live_->back().left = left;
    if (left != 0) add({cgroup.path, std::nullopt, left});
    return total;
  }

  void note(const Step& cgroup, const Stat& stat, std::string_view text) {
    struct ::stat found {};
    (void)sys::stat_at(cgroup.parent, cgroup.name, found);
    live_->push_back({cgroup.path, found.st_ino, own_pages(stat),
                      parse::value_of(text, "pgpgin").value_or(0), std::nullopt});
  }

  /// Finds out from slabinfo whether slab objects can pin zombies. Before Linux 5.9 a cgroup whose
  /// own tasks use kernel memory has lines in slabinfo; since then slab objects change owner, and
  /// slabinfo is empty. Only childless cgroups are read, because the usage is hierarchical and the
  /// lines are not; and only a few, because old kernels hold a global lock during the read.
  void note_slab_accounting(const Step& cgroup) {
    constexpr unsigned enough = 8;
    constexpr unsigned most_unused = 256;
    if (slab_ == SlabPins::yes || asked_ == enough || unused_ == most_unused) return;
    const auto usage = read(cgroup, "memory.kmem.usage_in_bytes");
    (void)unknown(usage);
    if (!usage || parse::whole_number(*usage).value_or(0) == 0) {
      ++unused_;
      return;
    }
    const auto slabinfo = read(cgroup, "memory.kmem.slabinfo");
    if (unknown(slabinfo) || !slabinfo) return;
    ++asked_;
    slab_ = slabinfo->empty() ? SlabPins::no : SlabPins::yes;
  }

  /// True if charges are hierarchical. Since Linux 5.11 they always are and the file reads 1; later
  /// kernels may drop the file.
  bool has_hierarchy(const Step& cgroup) {
    const auto text = read(cgroup, "memory.use_hierarchy");
    return text ? *text != "0\n" : !unknown(text);
  }

  std::vector<Live>* live_;
  std::vector<Level> levels_{Level{}};
  Stat own_{};
  SlabPins slab_ = SlabPins::unknown;
  unsigned asked_ = 0;
  unsigned unused_ = 0;  // cgroups read that use no kernel memory
};

/// Examines each cgroup before those below it, which are skipped if it has no zombies.
class WalkV2 : public Walk {
 public:
  using Walk::Walk;

  void enter(const Step& cgroup) {
    levels_.emplace_back();
    if (complete()) {
      look(cgroup);
    } else {
      skip();
      levels_.back().dying = 0;
    }
  }
  void leave(const std::string& path) {
    const Level level = levels_.back();
    levels_.pop_back();
    if (level.dying != 0) conclude(path, level);
    if (levels_.empty()) return;
    Level& above = levels_.back();
    above.dying_below = above.dying_below && level.dying
                            ? std::optional(*above.dying_below + *level.dying)
                            : std::nullopt;
    if (level.current_unknown) {
      above.current_below.reset();
    } else if (above.current_below) {
      *above.current_below += level.current.value_or(0);
    }
  }
  [[nodiscard]] bool goes_inside() const noexcept { return levels_.back().dying != 0; }

 private:
  /// A cgroup on the way down; absent values are unknown.
  struct Level {
    std::optional<std::uint64_t> dying;
    std::optional<std::uint64_t> current;
    std::optional<std::uint64_t> dying_below = 0;  // zombies below its children
    std::optional<std::uint64_t> current_below = 0;
    bool current_unknown = false;  // the figure exists but could not be read
  };

  void look(const Step& cgroup) {
    Level& level = levels_.back();
    const auto stat = read(cgroup, "cgroup.stat");
    if (stat) {
      auto dying = parse::value_of(*stat, "nr_dying_subsys_memory");
      if (!dying) dying = parse::value_of(*stat, "nr_dying_descendants");
      level.dying = dying.value_or(0);
    } else if (!unknown(stat)) {
      level.dying = 0;
    }
    const auto text = read(cgroup, "memory.current");
    if (text) level.current = parse::whole_number(*text);
    level.current_unknown = unknown(text);
  }

  void conclude(const std::string& path, const Level& level) {
    std::optional<std::uint64_t> direct;
    if (level.dying && level.dying_below) direct = less(*level.dying, *level.dying_below);
    if (!complete() || direct == 0) return;
    std::optional<std::uint64_t> bytes;
    if (level.current && level.current_below) bytes = less(*level.current, *level.current_below);
    add({path, direct, bytes});
  }

  std::vector<Level> levels_;
};

/// Returns the possible error, in bytes, of the sum of live cgroups' counters: before Linux 5.12
/// each CPU holds back up to 32 pages of a counter (MEMCG_CHARGE_BATCH, mm/memcontrol.c).
Result<std::uint64_t> drift(const Host& host) {
  constexpr std::uint64_t batch = 32;
  constexpr std::uint64_t cpus_where_not_told = 2;
  const auto cpus = cgctl::detail::possible_cpus(host);
  if (!cpus) return fail(cpus.error());
  return cpus->value_or(cpus_where_not_told) * batch * host.page_size();
}

std::uint64_t above(std::uint64_t noise, std::uint64_t bytes) noexcept {
  return bytes > noise ? bytes : 0;
}

/// Returns the counters of the whole machine less those of live cgroups.
Result<Residual> residual(const Host& host, const Stat& own) {
  const auto vmstat = fs::read_in_root(host.roots().proc, "vmstat");
  if (!vmstat) return fail(vmstat.error());
  const auto noise = drift(host);
  if (!noise) return fail(noise.error());
  const auto bytes = [&](std::string_view key) {
    return parse::value_of(*vmstat, key).value_or(0) * host.page_size();
  };
  Residual left;
  left.file = less(bytes("nr_inactive_file") + bytes("nr_active_file"),
                   own[inactive_file] + own[active_file]);
  left.anon = above(*noise, less(bytes("nr_inactive_anon") + bytes("nr_active_anon"),
                                 own[inactive_anon] + own[active_anon]));
  left.unevictable = less(bytes("nr_unevictable"), own[unevictable]);
  left.mapped = less(bytes("nr_mapped"), own[mapped_file]);
  left.shmem = less(bytes("nr_shmem"), own[shmem]);
  return left;
}

Status attribute_v1(const Host& host, const Hierarchy& memory, const AttributionLimits& limits,
                    Attribution& out, std::vector<Live>* live) {
  const std::string root = "/";
  WalkV1 walk(limits, memory.open_flags, out, live);
  const auto enter = [&](const Step&) -> Result<Next> {
    walk.enter();
    return walk.goes_inside() ? Next::inside : Next::past;
  };
  const auto leave = [&](const Step& step) {
    walk.leave(step);
    return Status{};
  };
  const int top = memory.directory.get();
  if (auto status = detail::walk_below(top, memory.mount_point, enter, leave); !status) {
    return status;
  }
  walk.leave({top, ".", root});
  if (out.complete && out.skipped == 0) {
    const auto left = residual(host, walk.own());
    if (left) {
      out.residual = *left;
    } else if (left.error().os_errno != ENOENT) {
      out.failure = left.error();
    }
  }
  out.slab = walk.slab();
  return {};
}

Status attribute_v2(const Hierarchy& memory, const AttributionLimits& limits, Attribution& out) {
  const std::string root = "/";
  WalkV2 walk(limits, memory.open_flags, out);
  const int top = memory.directory.get();
  walk.enter({top, ".", root});
  const auto enter = [&](const Step& step) -> Result<Next> {
    walk.enter(step);
    return walk.goes_inside() ? Next::inside : Next::past;
  };
  const auto leave = [&](const Step& step) {
    walk.leave(step.path);
    return Status{};
  };
  if (walk.goes_inside()) {
    auto status = detail::walk_below(top, memory.mount_point, enter, leave);
    if (!status) return status;
  }
  walk.leave(root);
  return {};
}

/// Attributes by the files of live cgroups, and then by the flags of pages if there are `frames`.
Status by_files(const Host& host, const AttributionLimits& limits, Result<PageFrames>* frames,
                Attribution& out) {
  const Hierarchy& memory = *host.find("memory");
  std::vector<Live> live;
  const bool refines = frames != nullptr && *frames;
  auto status = memory.version == Version::v1
                    ? attribute_v1(host, memory, limits, out, refines ? &live : nullptr)
                    : attribute_v2(memory, limits, out);
  if (!status || frames == nullptr) return status;
  auto refined = *frames ? refine(host, std::move(**frames), limits, live, out)
                         : Status(fail(frames->error()));
  if (!refined) out.why_not.push_back(std::move(refined.error()));
  return {};
}

Result<Attribution> by_best_source(const Host& host, const AttributionLimits& limits) {
  Attribution out;
  if (host.live() && limits.best == Source::census) {
    auto counted = by_census(host, limits.offsets_file);
    if (counted) return counted;
    out.why_not.push_back(std::move(counted.error()));
  }
  const bool asks_pages =
      host.live() && limits.best != Source::memory_stat && limits.page_flags.count() != 0;
  std::optional<Result<PageFrames>> frames;
  if (asks_pages) frames = PageFrames::open(host);
  auto status = by_files(host, limits, asks_pages ? &*frames : nullptr, out);
  if (!status) return fail(status.error());
  return out;
}

/// Sorts by number and bytes, the largest first; equal ones keep their order. Sorts places instead
/// of ancestors, which takes far less code.
void sort(std::vector<Ancestor>& ancestors) {
  struct Place {
    std::uint64_t count;
    std::uint64_t bytes;
    std::size_t index;
  };
  std::vector<Place> places;
  places.reserve(ancestors.size());
  for (const Ancestor& one : ancestors) {
    places.push_back({one.count.value_or(0), one.bytes.value_or(0), places.size()});
  }
  std::sort(places.begin(), places.end(), [](const Place& a, const Place& b) {
    return std::tie(b.count, b.bytes, a.index) < std::tie(a.count, a.bytes, b.index);
  });
  std::vector<Ancestor> sorted;
  sorted.reserve(ancestors.size());
  for (const Place& place : places) sorted.push_back(std::move(ancestors[place.index]));
  ancestors = std::move(sorted);
}

}  // namespace

std::string_view to_string(Source source) noexcept {
  switch (source) {
    case Source::census:
      return "census";
    case Source::page_flags:
      return "page_flags";
    case Source::memory_stat:
      break;
  }
  return "memory_stat";
}

Result<Attribution> attribute(const Host& host, const AttributionLimits& limits) {
  const auto memory = whole_memory_hierarchy(host);
  if (!memory) return fail(memory.error());
  if ((*memory)->version == Version::v2) {
    if (auto counter = Counter::open(host); !counter) return fail(counter.error());
  }
  auto out = by_best_source(host, limits);
  if (!out) return out;
  sort(out->ancestors);
  return out;
}

}  // namespace cgctl::zombies
