// SPDX-FileCopyrightText: The cgctl authors
// SPDX-License-Identifier: MIT
#include <fcntl.h>

#include <algorithm>
#include <array>
#include <cerrno>
#include <chrono>

#include "cgctl/detail/directory.hpp"
#include "cgctl/filesystem.hpp"
#include "cgctl/group.hpp"
#include "cgctl/parse.hpp"
#include "cgctl/zombies.hpp"

namespace cgctl::zombies {
namespace {

using Clock = std::chrono::steady_clock;

/// Keys of v1's memory.stat that tell a cgroup's own pages, and the two that tell its subtree's.
enum Key : std::size_t {
  cache,
  rss,
  inactive_anon,
  active_anon,
  inactive_file,
  active_file,
  unevictable,
  mapped_file,
  shmem,
  total_cache,
  total_rss,
  key_count
};
constexpr std::array<std::string_view, key_count> key_names = {
    "cache",       "rss",         "inactive_anon", "active_anon", "inactive_file", "active_file",
    "unevictable", "mapped_file", "shmem",         "total_cache", "total_rss"};
using Stat = std::array<std::uint64_t, key_count>;

Stat parse_stat(std::string_view text) noexcept {
  Stat stat{};
  while (!text.empty()) {
    std::string_view rest = parse::line(text);
    const std::string_view name = parse::field(rest);
    const auto key = std::find(key_names.begin(), key_names.end(), name);
    if (key == key_names.end()) continue;
    rest.remove_prefix(std::min(rest.size(), std::size_t{1}));
    parse::number(rest, stat[static_cast<std::size_t>(key - key_names.begin())]);
  }
  return stat;
}

std::uint64_t less(std::uint64_t from, std::uint64_t amount) noexcept {
  return from > amount ? from - amount : 0;
}

/// One walk over the live cgroups, depth first, children before parents.
class Walk {
 public:
  Walk(const AttributionLimits& limits, Attribution& out) noexcept : limits_(limits), out_(out) {}

 protected:
  /// The text of a file of the cgroup at `directory`; errc::vanished when the cgroup is gone or
  /// lacks the file.
  Result<std::string_view> read(int directory, const char* file) {
    const auto start = Clock::now();
    const int opened = sys::open_at(directory, file, O_RDONLY | O_NOFOLLOW);
    if (opened < 0) {
      return fail(fs::system_error("open", file, opened == -ENOENT ? ENODEV : -opened));
    }
    const UniqueFd fd(opened);
    auto text = fs::read_once(fd.get(), text_, file);
    const auto stop = Clock::now();
    if (stop - start > limits_.slowest_read || stop - started_ > limits_.total)
      out_.complete = false;
    return text;
  }

  /// Whether a cgroup that is there kept its figures to itself; counts it.
  bool unknown(const Result<std::string_view>& text) noexcept {
    if (text || text.error().kind == errc::vanished) return false;
    ++out_.skipped;
    return true;
  }

  /// Calls `visit(descriptor, path)` for each cgroup directly below.
  template <class Visit>
  Status each_child(int directory, const std::string& path, Visit visit) {
    const auto names = child_directories(directory, path);
    if (!names && (names.error().os_errno == ENOENT || names.error().os_errno == ENODEV)) return {};
    if (!names) return fail(names.error());
    for (const std::string& name : *names) {
      if (!out_.complete) {
        ++out_.skipped;
        continue;
      }
      const int opened = sys::open_at(directory, name.c_str(), O_PATH | O_DIRECTORY | O_NOFOLLOW);
      if (detail::is_gone(opened)) continue;
      if (opened < 0) return fail(fs::system_error("open", fs::join(path, name), -opened));
      const UniqueFd child(opened);
      if (auto status = visit(child.get(), fs::join(path, name)); !status) return status;
    }
    return {};
  }

  void skip() noexcept { ++out_.skipped; }
  void add(Ancestor ancestor) { out_.ancestors.push_back(std::move(ancestor)); }
  [[nodiscard]] bool complete() const noexcept { return out_.complete; }

 private:
  AttributionLimits limits_;
  Attribution& out_;
  Clock::time_point started_ = Clock::now();
  std::vector<char> text_;
};

class WalkV1 : public Walk {
 public:
  using Walk::Walk;

  /// Returns what the subtree is charged with (total_cache + total_rss), nothing when the kernel
  /// does not tell.
  // NOLINTNEXTLINE(misc-no-recursion)
  Result<std::optional<std::uint64_t>> visit(int directory, const std::string& path) {
    std::optional<std::uint64_t> below = 0;
    bool parent = false;
    // NOLINTNEXTLINE(misc-no-recursion)
    const auto status =
        each_child(directory, path, [&](int child, const std::string& child_path) -> Status {
          parent = true;
          const auto charged = visit(child, child_path);
          if (!charged) return fail(charged.error());
          below = below && *charged ? std::optional(*below + **charged) : std::nullopt;
          return {};
        });
    if (!status) return fail(status.error());
    // A read costs more the more there is below: after a slow one none of those above.
    if (!complete()) {
      skip();
      return std::nullopt;
    }
    Stat stat{};
    const auto text = read(directory, "memory.stat");
    if (text) stat = parse_stat(*text);
    const bool unreadable = unknown(text);
    const bool hierarchical = has_hierarchy(directory);
    for (std::size_t key = 0; key < total_cache; ++key) own_[key] += stat[key];
    if (!parent) note_slab_accounting(directory);
    if (unreadable) {
      if (complete()) add({path, std::nullopt, std::nullopt});
      return std::nullopt;
    }
    const std::uint64_t total = stat[total_cache] + stat[total_rss];
    if (!complete()) return total;
    if (!hierarchical || !below) {
      if (parent) add({path, std::nullopt, std::nullopt});
      return total;
    }
    const std::uint64_t left = less(total, stat[cache] + stat[rss] + *below);
    if (left != 0) add({path, std::nullopt, left});
    return total;
  }

  [[nodiscard]] const Stat& own() const noexcept { return own_; }
  [[nodiscard]] SlabPins slab() const noexcept { return slab_; }

 private:
  /// Linux 5.9 moved slab accounting to objects that change owner, and emptied slabinfo; before, a
  /// cgroup whose own tasks use kernel memory has lines there. Only cgroups without children are
  /// asked (the usage is hierarchical, the lines are not), a few of them, since the old kernels
  /// hold a global lock meanwhile.
  void note_slab_accounting(int directory) {
    constexpr unsigned enough = 8;
    if (slab_ == SlabPins::yes || asked_ == enough) return;
    const auto usage = read(directory, "memory.kmem.usage_in_bytes");
    if (!usage || parse::whole_number(*usage).value_or(0) == 0) return;
    const auto slabinfo = read(directory, "memory.kmem.slabinfo");
    if (!slabinfo) return;
    ++asked_;
    slab_ = slabinfo->empty() ? SlabPins::no : SlabPins::yes;
  }

  /// Linux 5.11 made every hierarchy hierarchical and the file reads 1; later kernels may drop it.
  bool has_hierarchy(int directory) {
    const auto text = read(directory, "memory.use_hierarchy");
    return !text || *text != "0\n";
  }

  Stat own_{};
  SlabPins slab_ = SlabPins::unknown;
  unsigned asked_ = 0;
};

class WalkV2 : public Walk {
 public:
  using Walk::Walk;

  struct Below {
    std::optional<std::uint64_t> dying = 0;
    std::optional<std::uint64_t> current;
  };

  // NOLINTNEXTLINE(misc-no-recursion)
  Result<Below> visit(int directory, const std::string& path) {
    Below mine;
    const auto stat = read(directory, "cgroup.stat");
    if (stat) {
      auto dying = parse::value_of(*stat, "nr_dying_subsys_memory");
      if (!dying) dying = parse::value_of(*stat, "nr_dying_descendants");
      mine.dying = dying.value_or(0);
    } else if (unknown(stat)) {
      mine.dying = std::nullopt;
    }
    if (const auto text = read(directory, "memory.current"))
      mine.current = parse::whole_number(*text);
    if (mine.dying == 0) return mine;

    std::optional<std::uint64_t> dying_below = 0;
    std::uint64_t current_below = 0;
    // NOLINTNEXTLINE(misc-no-recursion)
    const auto status =
        each_child(directory, path, [&](int child, const std::string& child_path) -> Status {
          const auto inner = visit(child, child_path);
          if (!inner) return fail(inner.error());
          dying_below = dying_below && inner->dying ? std::optional(*dying_below + *inner->dying)
                                                    : std::nullopt;
          current_below += inner->current.value_or(0);
          return {};
        });
    if (!status) return fail(status.error());
    std::optional<std::uint64_t> direct;
    if (mine.dying && dying_below) direct = less(*mine.dying, *dying_below);
    if (complete() && direct != 0) {
      std::optional<std::uint64_t> bytes;
      if (mine.current) bytes = less(*mine.current, current_below);
      add({path, direct, bytes});
    }
    return mine;
  }
};

/// The counters of the whole machine less what live cgroups own.
std::optional<Residual> residual(const Host& host, const Stat& own) {
  const auto vmstat = fs::read_trusted(fs::join(host.roots().proc, "vmstat"));
  if (!vmstat) return std::nullopt;
  const auto bytes = [&](std::string_view key) {
    return parse::value_of(*vmstat, key).value_or(0) * host.page_size();
  };
  Residual left;
  left.file = less(bytes("nr_inactive_file") + bytes("nr_active_file"),
                   own[inactive_file] + own[active_file]);
  left.anon = less(bytes("nr_inactive_anon") + bytes("nr_active_anon"),
                   own[inactive_anon] + own[active_anon]);
  left.unevictable = less(bytes("nr_unevictable"), own[unevictable]);
  left.mapped = less(bytes("nr_mapped"), own[mapped_file]);
  left.shmem = less(bytes("nr_shmem"), own[shmem]);
  return left;
}

}  // namespace

Result<Attribution> attribute(const Host& host, const AttributionLimits& limits) {
  const auto counter = Counter::open(host);
  if (!counter) return fail(counter.error());
  const Hierarchy& memory = *host.find("memory");
  Attribution out;
  if (memory.version == Version::v1) {
    WalkV1 walk(limits, out);
    if (auto status = walk.visit(memory.directory.get(), "/"); !status) return fail(status.error());
    if (out.complete && out.skipped == 0) out.residual = residual(host, walk.own());
    out.slab = walk.slab();
  } else {
    WalkV2 walk(limits, out);
    if (auto status = walk.visit(memory.directory.get(), "/"); !status) return fail(status.error());
  }
  std::stable_sort(out.ancestors.begin(), out.ancestors.end(),
                   [](const Ancestor& a, const Ancestor& b) {
                     return std::pair(a.count.value_or(0), a.bytes.value_or(0)) >
                            std::pair(b.count.value_or(0), b.bytes.value_or(0));
                   });
  return out;
}

}  // namespace cgctl::zombies
